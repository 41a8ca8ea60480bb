#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the folder texts/ anew from installed Debian packages (packages.txt, and zstd). The texts
# themselves are part of this repository, so that a demo gives the same numbers on every machine; this
# is how they were made.
#
# usage: make.sh OUTDIR
set -eu
LC_ALL=C
export LC_ALL
out=${1:?usage: make.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sh "$here/make_prose.sh" "$work"
sh "$here/make_labels.sh" "$work"
sh "$here/make_unlearn.sh" "$work"

# The demo reads a million tokens; what follows is text that no SAE of it has seen.
documents=$(wc -l <"$work/prose/prose.jsonl")
head -n $((documents * 2 / 5)) "$work/prose/prose.jsonl" >"$work/prose.jsonl"
mkdir -p "$out/labels" "$out/unlearn/forget" "$out/unlearn/retain"
pack() { zstd -q -f -19 "$1" -o "$out/$2.zst"; }
pack "$work/prose.jsonl" prose.jsonl
for file in "$work"/labels/*.csv; do
    pack "$file" "labels/${file##*/}"
done
(cd "$work/unlearn" && find . -name '*.jsonl') | while read -r file; do
    pack "$work/unlearn/$file" "unlearn/${file#./}"
done

{
    echo "# Packages that the texts were made of; digests of the texts, unpacked."
    for package in $(grep -v '^#' "$here/packages.txt"); do
        dpkg-query -W -f '${Package} ${Version}\n' "$package"
    done
    (cd "$out" && find . -name '*.zst' | sort) | while read -r file; do
        printf '%s  %s\n' "$(zstd -dc "$out/$file" | sha256sum | cut -d ' ' -f 1)" "${file#./}"
    done
} >"$out/SOURCES"
du -sh "$out" >&2
