#!/bin/sh
# Checks that no identifier and no file has a name that docs/WORDS.md gives up.
# Usage: words.sh SOURCE_ROOT
set -eu
cd "$1"
words=$(sed -n 's/^|.*|.*|\(.*\)|$/\1/p' docs/WORDS.md | grep -o '`[^`]*`' | tr -d '`')
[ -n "$words" ] || { echo "no table of words in docs/WORDS.md"; exit 1; }
rooms="lib/base lib/file lib/text lib/cli lib/eval lm harvest convert analyze probe absorb ablate autointerp splice unlearn match report lib/math lib/sae train"
# Names with a dot are files; the others are sought between the underscores of identifiers.
files=$(for word in $words; do case "$word" in *.*) echo "/$word" ;; esac; done)
names=$(for word in $words; do case "$word" in *.*) ;; *) echo "$word" ;; esac; done)
sources=$(find $rooms \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' \) | sort)
bad=0
for file in $files; do
    printf '/%s\n' $sources | grep -F -x -e "$file" -e "${file#/}" || printf '/%s\n' $sources | grep "$file\$" || continue
    echo "^ docs/WORDS.md has another name for $file" && bad=1
done
awk -v names="$names" '
BEGIN { n = split(names, list, "\n"); for (i in list) given_up[list[i]] = 1 }
FNR == 1 { inside = 0 }
{
    line = $0
    gsub(/\\./, "", line)
    gsub(/"[^"]*"/, "", line) # texts are prose
    if (inside) {
        if (!match(line, /\*\//)) next
        line = substr(line, RSTART + 2)
        inside = 0
    }
    while (match(line, /\/\*/)) {
        rest = substr(line, RSTART + 2)
        line = substr(line, 1, RSTART - 1)
        if (!match(rest, /\*\//)) { inside = 1; break }
        line = line " " substr(rest, RSTART + 2)
    }
    sub(/\/\/.*/, "", line)
    if (line ~ /^#include/) next
    gsub(/[^A-Za-z0-9_]+/, " ", line)
    m = split(tolower(line), ids, " ")
    for (i = 1; i <= m; i++)
        for (name in given_up)
            if (index("_" ids[i] "_", "_" name "_")) {
                printf "%s:%d: %s: docs/WORDS.md has another word for `%s`\n", FILENAME, FNR, ids[i], name
                bad = 1
            }
}
END { exit bad }' $sources || bad=1
exit $bad
