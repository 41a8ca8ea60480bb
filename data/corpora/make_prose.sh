#!/bin/sh
# SPDX-License-Identifier: MIT
# English prose for harvesting: OUTDIR/prose/prose.jsonl, one {"source": ..., "text": ...} a line. From WordNet
# (definitions and examples), the King James Bible, PostgreSQL's manual and the Jargon File, mixed so
# that any beginning of the file holds all four in proportion.
#
# usage: make_prose.sh OUTDIR
set -eu
LC_ALL=C
export LC_ALL
out=${1:?usage: make_prose.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out/prose"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need() {
    [ -e "$1" ] || { echo "make_prose.sh: '$1' is not there; install the package $2" >&2; exit 1; }
}
need /usr/share/wordnet/data.noun wordnet-base
need /usr/bin/bible bible-kjv
need /usr/share/doc/postgresql-doc-15/html/index.html postgresql-doc-15
need /usr/share/dictd/jargon.dict.dz dict-jargon

# WordNet: "word, word: definition. Example." Ten entries a document; the documents are spread over
# the file, so only every third entry is taken.
for part in noun verb adj adv; do
    cat "/usr/share/wordnet/data.$part"
done | awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' >"$work/wordnet"
/^  / || !/\|/ { next }
++seen % 3 { next }
{
    bar = index($0, "|")
    gloss = squeeze(substr($0, bar + 1))
    n = split(substr($0, 1, bar - 1), field, " ")
    words = 0
    for (i = 1; i <= length(field[4]); i++)
        words = words * 16 + index("0123456789abcdef", substr(field[4], i, 1)) - 1
    line = ""
    for (i = 0; i < words; i++) {
        word = field[5 + 2 * i]
        sub(/\([a-z]+\)$/, "", word)
        gsub(/_/, " ", word)
        line = line (i ? ", " : "") word
    }
    gsub(/`/, "'", gloss)
    m = split(gloss, bit, /; "/)
    line = line ": " bit[1]
    if (line !~ /[.?!]$/)
        line = line "."
    for (i = 2; i <= m; i++) {
        sub(/"[^"]*$/, "", bit[i])
        if (bit[i] != "")
            line = line " " toupper(substr(bit[i], 1, 1)) substr(bit[i], 2) (bit[i] ~ /[.?!]$/ ? "" : ".")
    }
    document = document (document == "" ? "" : "\n") line
    if (++entries % 10 == 0) {
        print json(document)
        document = ""
    }
}
AWK

# The Bible: a chapter a document, a verse a line.
printf 'gen1:1-rev22:21\nq\n' | bible -f | awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' >"$work/kjv"
{ sub(/^bible\([^)]*\)[^>]*> /, "") }
match($0, /^[1-3]?[A-Za-z]+[0-9]+:[0-9]+ /) {
    chapter = substr($0, 1, index($0, ":") - 1)
    if (chapter != last && document != "") {
        print json(document)
        document = ""
    }
    last = chapter
    document = document (document == "" ? "" : "\n") squeeze(substr($0, RLENGTH + 1))
}
END {
    if (document != "")
        print json(document)
}
AWK

find /usr/share/doc/postgresql-doc-15/html -name '*.html' | sort |
    grep -Ev '/(release-|bookindex|index|biblio|infoschema|errcodes|sql-keywords|features|unsupported|legalnotice)' |
    xargs awk -f "$here/text.awk" -f "$here/html.awk" >"$work/postgresql"

# The Jargon File: five entries a document, wrapped lines joined.
gzip -dc </usr/share/dictd/jargon.dict.dz | awk -f "$here/text.awk" -f /dev/fd/3 3<<'AWK' >"$work/jargon"
function entry() {
    text = squeeze(typewriter(text))
    gsub(/[{}]/, "", text)
    if (length(text) > 120 && is_prose(text)) {
        document = document (document == "" ? "" : "\n") text
        if (++entries % 5 == 0) {
            print json(document)
            document = ""
        }
    }
    text = ""
}
/^[^ \t]/ { entry() }
{ text = text " " $0 }
END { entry() }
AWK

# Interleaved by the golden ratio: document i of each source goes to the place frac(0.618 i).
for source in wordnet kjv postgresql jargon; do
    [ -s "$work/$source" ] || { echo "make_prose.sh: no text came out of $source" >&2; exit 1; }
    awk -v source="$source" '{
        x = NR * 0.6180339887498949
        printf "%.9f\t{\"source\": \"%s\", \"text\": %s}\n", x - int(x), source, $0
    }' "$work/$source"
done | sort | cut -f 2- >"$out/prose/prose.jsonl"
wc -lc "$out/prose/prose.jsonl" | awk '{ printf "%s: %d documents, %.1f MB\n", $3, $1, $2 / 1e6 }' >&2
