#!/bin/sh
# Installs the Debian packages that saekit needs, where they are missing.
#   ./packages.sh build    compiler, Meson, libraries: what building and running takes
#   ./packages.sh test     those, and what the tests use besides
#   ./packages.sh demo     those of build, and the free texts the demo works on
# As root, or through sudo. Where neither can be had it says what to install.
set -eu
here=$(dirname "$0")

build="gcc g++ meson ninja-build pkg-config libhdf5-dev libopenblas-openmp-dev
 liblinear-dev libsentencepiece-dev libjansson-dev libzstd-dev zlib1g-dev nettle-dev
 libcurl4-openssl-dev gnuplot-nox"
tests="libcmocka-dev hdf5-tools jq zstd"

case "${1:-}" in
build) wanted=$build ;;
test) wanted="$build $tests" ;;
demo) wanted="$build $(grep -v '^#' "$here/data/corpora/packages.txt")" ;;
*)
    echo "usage: ./packages.sh build|test|demo" >&2
    exit 2
    ;;
esac

missing=""
for package in $wanted; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing" >&2
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "packages.sh: not root and no sudo; as root, run: apt-get install$missing" >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Manual pages are wanted as texts, so a minimal image's rule that leaves them out is lifted.
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold \
    -o Dpkg::Options::=--path-include='/usr/share/man/*' \
    -o Dpkg::Options::=--path-include='/usr/share/doc/*' $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "packages.sh: apt-get failed; see above" >&2
    exit 1
fi
