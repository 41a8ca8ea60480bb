#!/bin/sh
# Download the corpus packages from the configured Debian archive and unpack
# each into DIR/x/<package>.  Nothing is installed.
#
# usage: fetch.sh DIR
#
# DIR/packages.txt records name, version and sha256 of each archive.
set -eu
dir=${1:?usage: fetch.sh DIR}
mkdir -p "$dir/debs" "$dir/x"
packages='wordnet-base bible-kjv-text bible-kjv sword-text-web dict-jargon
dict-devil postgresql-doc-15 python3.11-doc apache2-doc sqlite3-doc rust-doc
golang-1.19-src libboost1.74-dev scowl'
cd "$dir/debs"
for p in $packages; do
    ls "${p}"_*.deb >/dev/null 2>&1 || apt-get download "$p"
done
: >../packages.txt
for p in $packages; do
    f=$(ls "${p}"_*.deb)
    printf '%s %s %s\n' "$p" "$(dpkg-deb -f "$f" Version)" "$(sha256sum "$f" | cut -d' ' -f1)" >>../packages.txt
    mkdir -p "../x/$p"
    dpkg-deb -x "$f" "../x/$p"
done
