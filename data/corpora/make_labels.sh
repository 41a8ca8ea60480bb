#!/bin/sh
# SPDX-License-Identifier: MIT
# Labelled texts for probing: OUTDIR/labels/<set>.csv with the columns text,label.
#
#   category   WordNet glosses by lexicographer's file: noun.animal ... verb.motion
#   source     lines of prose.jsonl: scripture dictionary manual jargon
#   book       verses of the King James Bible: genesis psalms isaiah jeremiah luke acts
#   code       snippets of source files: cpp go python
#
# Each class holds the same number of texts (500) of 60 to 400 bytes, no text twice; which ones
# depends on the texts alone.
#
# usage: make_labels.sh OUTDIR [TEXTS_A_CLASS]     after make_prose.sh OUTDIR
set -eu
LC_ALL=C
export LC_ALL
out=${1:?usage: make_labels.sh OUTDIR [TEXTS_A_CLASS]}
each=${2:-500}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out/labels"

# Files of installed packages whose name matches a pattern.
files() {
    pattern=$1
    shift
    for package in "$@"; do
        dpkg-query -L "$package" 2>/dev/null |
            grep -E "$pattern" || true
    done | while read -r file; do
        [ -f "$file" ] && [ ! -h "$file" ] && printf '%s\n' "$file"
    done | sort -u
}

# "label TAB text" lines to a balanced CSV: unique texts, in the order of their hashes.
balance() {
    set_name=$1
    awk '{ tab = index($0, "\t"); print substr($0, tab + 1) "\t" substr($0, 1, tab - 1) }' |
        sort -u | awk -F '\t' -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' |
# A text under two labels would be noise: neither is taken.
$1 == last { twice = 1; next }
{ put(); last = $1; label = $2; twice = 0 }
function put() {
    if (last != "" && !twice)
        printf "%s\t%010d\t%s\n", label, hash(last), last
}
END { put() }
AWK
        sort | awk -F '\t' -v each="$each" -v name="$set_name" -v csv_file="$out/labels/$set_name.csv" \
            -f "$here/text.awk" -f /dev/fd/3 3<<'AWK'
BEGIN { print "text,label" > csv_file }
n[$1]++ < each {
    gsub(/\001/, "\n", $3)
    print csv($3) "," $1 > csv_file
}
END {
    for (label in n)
        if (n[label] < each)
            short = short " " label ":" n[label]
    for (label in n)
        classes++
    printf "%s: %d classes of %d texts%s\n", csv_file, classes, each,
        (short == "" ? "" : ", but fewer of" short) | "cat 1>&2"
}
AWK
}

prose=$out/prose/prose.jsonl
[ -f "$prose" ] || { echo "make_labels.sh: no '$prose'; run make_prose.sh first" >&2; exit 1; }

# Lines of the last half, which a demo's store does not reach; none that JSON had to escape.
awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' "$prose" "$prose" | balance source
BEGIN {
    name["kjv"] = "scripture"
    name["wordnet"] = "dictionary"
    name["postgresql"] = "manual"
    name["jargon"] = "jargon"
}
NR == FNR { documents++; next }
FNR <= documents / 2 { next }
{
    source = $0
    sub(/^{"source": "/, "", source)
    sub(/".*/, "", source)
    sub(/^.*"text": "/, "")
    sub(/"}$/, "")
    lines = split($0, line, /\\n/)
    for (i = 1; i <= lines; i++) {
        text = shorten(line[i], 400)
        if (text !~ /\\/ && length(text) >= 60 && is_prose(text))
            print name[source] "\t" text
    }
}
AWK

printf 'gen1:1-rev22:21\nq\n' | bible -f | awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' | balance book
BEGIN {
    name["Ge"] = "genesis"
    name["Psa"] = "psalms"
    name["Isa"] = "isaiah"
    name["Jer"] = "jeremiah"
    name["Luke"] = "luke"
    name["Acts"] = "acts"
}
{ sub(/^bible\([^)]*\)[^>]*> /, "") }
match($0, /^[1-3]?[A-Za-z]+[0-9]+:[0-9]+ /) {
    book = $0
    sub(/[0-9]+:.*/, "", book)
    text = squeeze(substr($0, RLENGTH + 1))
    if (book in name && length(text) >= 60 && length(text) <= 400)
        print name[book] "\t" text
}
AWK

{
    snippets() {
        label=$1
        tr '\n' '\0' | xargs -0 awk -v label="$label" -f "$here/text.awk" -f "$here/code.awk"
    }
    files '/usr/include/boost/.*\.hpp$' libboost1.74-dev | grep -v -E '/preprocessed/|/aux_/' | snippets cpp
    files '/usr/share/go-1.19/src/.*\.go$' golang-1.19-src | grep -v -E '/testdata/|/tables' | snippets go
    files '\.py$' libpython3.11-stdlib | grep -v -E '/encodings/|/pydoc_data/' | snippets python
} | balance code

# The second field of a WordNet entry is the number of its lexicographer's file.
cat /usr/share/wordnet/data.noun /usr/share/wordnet/data.verb |
    awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' | balance category
BEGIN {
    name["n05"] = "noun.animal"
    name["n06"] = "noun.artifact"
    name["n13"] = "noun.food"
    name["n18"] = "noun.person"
    name["n20"] = "noun.plant"
    name["v38"] = "verb.motion"
}
/^  / { next }
{
    key = $3 $2
    gloss = squeeze(substr($0, index($0, "|") + 1))
    gsub(/`/, "'", gloss)
    if (key in name && length(gloss) >= 60 && length(gloss) <= 400)
        print name[key] "\t" gloss
}
AWK
