#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes calls of every program fail, one in each run: memory, writing, reading, opening, fsync, rename
# and more (shim.c). After each: no signal, no hang, a message where the status is not 0, the clean
# run's files where it is 0; no file under its final name that differs from the clean run's; and the
# same work taken up again must give the clean run's files.
#
#   inject.sh BUILD SOURCE [EACH 1] [SEED 1] [NAME ...]
#
# EACH: how many calls of a kind fail, one at a time, evenly drawn from all there are; "all": every one;
# "some": one call of each third kind. NAME: of the works of works.sh; default all of them.
# KINDS: those of the list below, or "hdf5:ENOMEM".
set -u
build=$(realpath "$1") root=$(realpath "$2") each=${3:-1} seed=${4:-1}
shift $(($# < 4 ? $# : 4))
RANDOM=$seed
. "$root/tests/inject/works.sh"
tried=0 failed_runs=0 bad=0

# what, how, and whether all later calls fail too
kinds=${KINDS:-"alloc:ENOMEM write:ENOSPC write:ENOSPC:stay write:EIO write:EINTR write:short read:EIO
 read:EINTR read:short open:EACCES sync:EIO rename:EIO mmap:ENOMEM truncate:ENOSPC unlink:EIO
 mkdir:ENOSPC"}

# --- one fault ---------------------------------------------------------------------------------

complain() {
    echo "$name, $kind call $n: $*"
    sed 's/^/    /' "$top/err" | head -n 3
    bad=$((bad + 1))
}

# Charts are extras: what cannot be drawn is a warning. And a report on what could be read is one of
# less. What is there of charts must be whole.
is_lenient() {
    case $name in
    report) grep -q 'warning:\|the rest is reported' "$top/err" ;;
    analyze) grep -q 'warning:.*chart' "$top/err" ;;
    *) return 1 ;;
    esac
}
is_whole_chart() {
    case $1 in
    *charts/*.svg) tail -c 20 "$top/work/$1" | grep -q '</svg>' ;;
    *charts/*) return 0 ;;
    *) return 1 ;;
    esac
}

check_files() {
    local line
    other_files "$top/work" >"$top/others" # no <(...), which a machine without /proc does not have
    while read -r line; do
        is_lenient && is_whole_chart "${line%% *}" || complain "$line"
    done <"$top/others"
}

strike() { # n
    local rc differs
    n=$1
    copy_base
    run="timeout -k 5 120 env INJECT_WHAT=${kind%%:*} INJECT_HOW=$how $stay INJECT_AT=$n LD_PRELOAD=$shim"
    "do_$name" >"$top/out" 2>"$top/err"
    rc=$?
    tried=$((tried + 1))
    [ "$rc" = 0 ] || failed_runs=$((failed_runs + 1))
    if [ $rc = 124 ] || [ $rc -ge 128 ]; then
        complain "ends with status $rc"
    elif [ $rc != 0 ]; then
        [ -s "$top/err" ] || complain "fails without a word, status $rc"
    fi
    if [ $rc = 0 ] && ! is_lenient; then
        cmp -s "$top/out" "$top/clean.out" || complain "status 0, but another answer"
        differs=$(tree_differs "$top/clean" "$top/work")
        [ -z "$differs" ] || complain "status 0, but: $differs"
    fi
    check_files
    if [ $rc != 0 ]; then
        run=
        again "$name" >"$top/out" 2>"$top/err" || complain "cannot be taken up again, status $?"
        differs=$(tree_differs "$top/clean" "$top/work")
        [ -z "$differs" ] || complain "taken up again: $differs"
    fi
    cd "$top" || exit 1
}

# Which calls of `count` fail: so many of them, evenly, from a random first one.
drawn() {
    local count=$1 many=${each/some/1} step first
    if [ "$many" = all ] || [ "$count" -le "$many" ]; then
        seq "$count"
    else
        step=$((count / many))
        first=$(((RANDOM * 32768 + RANDOM) % step + 1))
        seq "$first" "$step" "$count" | head -n "$many"
    fi
}

try_work() { # NAME
    local count
    name=$1
    begin_work "$name" || { bad=$((bad + 1)); return; }
    for kind in $kinds; do
        [ "$each" != some ] || [ $((RANDOM % 3)) = 0 ] || continue
        how=${kind#*:} stay=
        case $how in *:stay) how=${how%:stay} stay=INJECT_STAY=1 ;; esac
        copy_base
        run="env INJECT_WHAT=${kind%%:*} INJECT_COUNT=$top/count LD_PRELOAD=$shim"
        "do_$name" >"$top/out" 2>"$top/err"
        cd "$top" || exit 1
        count=$(cat "$top/count")
        for n in $(drawn "$count"); do strike "$n"; done
    done
    echo "$name: $tried faults so far, $failed_runs ended the run, $bad wrong"
}

[ $# -gt 0 ] || set -- $(works)
for name; do try_work "$name"; done
[ "$bad" = 0 ] && [ "$tried" -gt 0 ]
