#!/bin/sh
# SPDX-License-Identifier: MIT
# Labelled texts for probing: OUTDIR/labels/<set>.csv with the columns text,label.
#
#   language   paragraphs of manual pages: de en es fr it pt
#   section    English paragraphs of manual pages: man1 man2 man3 man5 man7 man8
#   code       snippets of source files: c cpp perl python shell tcl
#   category   WordNet glosses by lexicographer's file: noun.animal ... verb.motion
#
# Each class holds the same number of texts (500) of 60 to 400 bytes, no text twice; which ones
# depends on the texts alone.
#
# usage: make_labels.sh OUTDIR [TEXTS_A_CLASS]
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

# Paragraphs of the manual pages listed on stdin: paragraphs LABEL BYTES.
paragraphs() {
    xargs gzip -dcf | awk -v label="$1" -v most="$2" -f "$here/text.awk" -f "$here/roff.awk"
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

manuals=$(files '/man/man7/.*\.7(\.gz)?$' manpages | wc -l)
if [ "$manuals" -gt 20 ]; then
    # Translations leave a paragraph in English here and there; those are not taken.
    {
        for pair in de:manpages-de es:manpages-es fr:manpages-fr it:manpages-it pt:manpages-pt-br; do
            files '/man/[a-z_A-Z]+/man[1-8]/' "${pair#*:}" | paragraphs "${pair%%:*}" 240
        done
        files '/man/man[1-8]/' manpages git-man | paragraphs en 240
    } | awk -F '\t' '$1 == "en" || $2 !~ / (the|of|and|with|is|for) /' | balance language

    for section in 1 2 3 5 7 8; do
        files "/usr/share/man/man$section/" manpages manpages-dev git-man iproute2 \
            coreutils util-linux mount passwd login e2fsprogs apt dpkg dpkg-dev libpam-modules \
            libpam-runtime openssh-client procps perl tcllib | paragraphs "man$section" 300
    done | balance section
else
    echo "make_labels.sh: no manual pages are installed (dpkg may be set to leave them out);" \
        "the sets language and section are not made" >&2
fi

{
    snippets() {
        label=$1
        xargs awk -v label="$label" -f "$here/text.awk" -f "$here/code.awk"
    }
    files '/usr/include/.*\.h$' linux-libc-dev | snippets c
    files '/usr/include/c\+\+/.*(\.h|\.tcc|/[a-z_]+)$' libstdc++-12-dev | snippets cpp
    files '\.p[lm]$' perl-modules-5.36 | grep -v -E 'unicore|/Unicode/Collate' | snippets perl
    files '\.py$' libpython3.11-stdlib | grep -v -E '/encodings/|/pydoc_data/' | snippets python
    files '/bash-completion/completions/' bash-completion | snippets shell
    files '\.tcl$' tcllib | grep -v -E 'pkgIndex|/mapproj/|/fumagic/|tables' | snippets tcl
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
