#!/bin/sh
# The documents name the architectures that sae-train has, and no others.
# Usage: archs.sh BUILD_ROOT SOURCE_ROOT
set -u
train=$1/train/sae-train root=$2
bad=0
complain() { echo "$*"; bad=1; }
names=$("$train" --list-arch | sed -n 's/^\([a-z][^ ]*\) .*/\1/p')
[ -n "$names" ] || complain "sae-train --list-arch names none"
same() { # what the names come from
    [ "$(printf '%s\n' $2 | sort)" = "$(printf '%s\n' $names | sort)" ] ||
        complain "$1 names $(echo $2); sae-train has $(echo $names)"
}
same "the table of docs/MATH.md" \
    "$(sed -n '/^## 1\. Architectures/,/^## 2/s/^| `\([^`]*\)` .*/\1/p' "$root/docs/MATH.md")"
same "--list-arch --json" \
    "$("$train" --list-arch --json | sed -n 's/.*"arch": *"\([^"]*\)".*/\1/p')"
# each has vectors of another program, and a line about how far they agree
for name in $names; do
    grep -q "^end $name W_dec " "$root/tests/golden/trainers.txt" ||
        complain "tests/golden/trainers.txt has no run of $name"
    grep -q "^| \`$name\`" "$root/docs/math-training.md" ||
        complain "docs/math-training.md does not say how $name compares"
done
exit $bad
