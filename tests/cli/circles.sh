#!/bin/sh
# Files of a room use each other one way only: no circle of files, by the functions and tables that their
# objects take from each other.
# Usage: circles.sh BUILD_ROOT
set -eu
cd "$1"
command -v nm >/dev/null || exit 77
bad=0
check() {
    room=$1
    objects=$(find "$room" -name '*.c.o' | sort)
    [ -n "$objects" ] || { echo "no objects of $room in $1"; exit 1; }
    # shellcheck disable=SC2086
    found=$(nm -A -P -g $objects | awk '
        { file = $1; sub(/:$/, "", file); sub(/.*\//, "", file); sub(/\.c\.o$/, "", file) }
        $3 == "U" { used[file, $2] = 1; next }
        $3 ~ /^[TDRBVWi]$/ && $2 != "main" { home[$2] = file }
        END {
            for (pair in used) {
                split(pair, p, SUBSEP)
                to = home[p[2]]
                if (to != "" && to != p[1]) { arrow[p[1], to] = 1; node[p[1]] = node[to] = 1 }
            }
            do { # files that use nothing, or are used by nothing, are in no circle
                removed = 0
                for (n in node) {
                    out = into = 0
                    for (pair in arrow) {
                        split(pair, p, SUBSEP)
                        out += p[1] == n; into += p[2] == n
                    }
                    if (out > 0 && into > 0)
                        continue
                    for (pair in arrow) {
                        split(pair, p, SUBSEP)
                        if (p[1] == n || p[2] == n) delete arrow[pair]
                    }
                    delete node[n]
                    removed = 1
                }
            } while (removed)
            for (n in node) print n
        }' | sort | tr '\n' ' ')
    found=${found% }
    [ -z "$found" ] || {
        echo "$room: files that use each other in a circle: $found"
        bad=1
    }
}
check train
check report
check lib/eval
check lib/file
exit $bad
