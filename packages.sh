#!/bin/sh
# Installs the Debian packages that saekit needs, where they are missing.
#   ./packages.sh build    compiler, Meson, libraries: what building and running takes
#   ./packages.sh demo     those, and what the demo recommends for a look at its files
#   ./packages.sh test     those of build, and what the tests use besides
#   ./packages.sh fresh    what tests/fresh/root.sh makes a bare Debian with
# As root, or through sudo. Where neither can be had it says what to install.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

build="gcc g++ meson ninja-build pkg-config libhdf5-dev libopenblas-openmp-dev
 liblinear-dev libsentencepiece-dev libjansson-dev libzstd-dev zlib1g-dev libsnappy-dev nettle-dev
 libcurl4-openssl-dev libpcre2-dev libutf8proc-dev gnuplot-nox"
demo="hdf5-tools"
tests="libcmocka-dev hdf5-tools jq zstd python3-numpy python3-h5py"

case "${1:-}" in
build) wanted=$build ;;
demo) wanted="$build $demo" ;;
test) wanted="$build $tests" ;;
fresh) wanted=debootstrap ;;
*)
    echo "usage: ./packages.sh build|demo|test|fresh" >&2
    exit 2
    ;;
esac

missing=""
for package in $wanted; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# Where nothing else is missing, and no network or no rights are there, all else goes on without it.
optional="libsnappy-dev"
if [ "$missing" = " $optional" ] && [ -z "${SAE_PACKAGES_OPTIONAL:-}" ]; then
    SAE_PACKAGES_OPTIONAL=1 "$here/packages.sh" "$1" ||
        echo "packages.sh: without $optional Parquet files that are compressed with snappy are not read; all else is built" >&2
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "packages.sh: not root and no sudo; as root, run: apt-get install$missing" >&2
    exit 1
fi
echo "packages.sh: not installed yet:$missing" >&2
[ -z "$as_root" ] || sudo true # asks for a password now, not behind the progress below

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt="$as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get --no-install-recommends
 -o Dpkg::Options::=--force-confold"
bash "$here/scripts/follow.sh" "$log" $apt update
# What it comes to, with all that these packages need in turn.
plan=$($apt -s install $missing | grep -c '^Inst ' || true)
size=$($apt --assume-no install $missing | sed -n \
    -e 's/^Need to get \(.*\) of archives.*/\1 to download/p' \
    -e 's/^After this operation, \(.*\) of additional disk space.*/\1 on disk/p' | paste -s -d ';' | sed 's/;/, /')
echo "packages.sh: installing $plan packages with apt-get: $size" >&2
bash "$here/scripts/follow.sh" "$log" $apt -y install $missing
