#!/bin/sh
# SPDX-License-Identifier: MIT
# A small task of forgetting: OUTDIR/unlearn, laid out as sae-unlearn wants it. To be forgotten: the
# King James Bible. To stay: WordNet, PostgreSQL's manual, the Jargon File.
#
#   forget.jsonl, retain.jsonl   texts that tell which latents to clamp
#   forget/scripture.jsonl       questions: how does this verse go on?
#   retain/*.jsonl               the same of the other three
#
# A question is the first half of a line of 12 words or more, its choices the second half and those
# of three other lines of the same source. Texts and questions come from the last half of
# prose.jsonl, which a demo's store does not reach, and from different documents. Which lines are
# taken depends on the texts alone. Each source to stay has half as many questions as the one to go.
#
# usage: make_unlearn.sh OUTDIR [QUESTIONS]     after make_prose.sh OUTDIR
set -eu
LC_ALL=C
export LC_ALL
out=${1:?usage: make_unlearn.sh OUTDIR [QUESTIONS]}
each=${2:-120}
here=$(cd "$(dirname "$0")" && pwd)
prose=$out/prose/prose.jsonl
[ -f "$prose" ] || { echo "make_unlearn.sh: no '$prose'; run make_prose.sh first" >&2; exit 1; }
rm -rf "$out/unlearn"
mkdir -p "$out/unlearn/forget" "$out/unlearn/retain"
half=$(($(wc -l <"$prose") / 2))

awk -v half="$half" -v asked="$each" -v out="$out/unlearn" -f "$here/text.awk" -f /dev/fd/3 \
    3<<'AWK' "$prose"
BEGIN {
    file["kjv"] = out "/forget/scripture.jsonl"
    file["wordnet"] = out "/retain/definitions.jsonl"
    file["postgresql"] = out "/retain/database_manual.jsonl"
    file["jargon"] = out "/retain/hacker_jargon.jsonl"
    most["kjv"] = 60 # documents of the text, about equal in tokens
    most["wordnet"] = 60
    most["postgresql"] = 10
    most["jargon"] = 16
}
NR <= half { next }
{
    source = $0
    sub(/^{"source": "/, "", source)
    sub(/".*/, "", source)
    if (++seen[source] % 2) {
        if (++texts[source] <= most[source])
            print > (out (source == "kjv" ? "/forget.jsonl" : "/retain.jsonl"))
        next
    }
    text = $0
    sub(/^.*"text": "/, "", text)
    sub(/"}$/, "", text)
    # Still as JSON has it: lines end in \n; a line with any other escape is passed over.
    lines = split(text, line, /\\n/)
    for (i = 1; i <= lines; i++)
        if (line[i] !~ /\\/)
            add(line[i])
}
function add(s,    words, word, n, i, first, last) {
    words = split(s, word, " ")
    if (words < 12 || !is_prose(s))
        return
    n = words < 24 ? words : 24
    for (i = 1; i <= n; i++)
        if (i <= n / 2)
            first = first (i > 1 ? " " : "") word[i]
        else
            last = last (i - 1 > n / 2 ? " " : "") word[i]
    total[source]++
    begin[source, total[source]] = first
    end[source, total[source]] = last
}
# The places to ask about, spread over all lines; the others' ends come from elsewhere.
function ask(source,    each, n, k, i, j, c, right, choices, step) {
    n = total[source]
    each = source == "kjv" ? asked : int(asked / 2)
    step = n > each ? int(n / each) : 1
    for (k = 0; k < each && 1 + k * step <= n; k++) {
        i = 1 + k * step
        right = hash(begin[source, i]) % 4
        choices = ""
        for (c = 0; c < 4; c++) {
            j = c == right ? i : 1 + (i - 1 + (c + 1) * int(n / 5)) % n
            choices = choices (c ? ", " : "") "\"" end[source, j] "\""
        }
        printf "{\"question\": \"%s\", \"choices\": [%s], \"answer\": %d}\n", \
            begin[source, i], choices, right > file[source]
    }
    printf "%s: %d questions of %d lines\n", file[source], k, n | "cat 1>&2"
}
END {
    ask("kjv")
    ask("wordnet")
    ask("postgresql")
    ask("jargon")
}
AWK
