#!/bin/sh
# Programs are configured without what tests alone need, and a request that cannot be met says so.
# Usage: configure.sh SOURCE_ROOT NAME ...
set -u
source=$(realpath "$1")
shift
programs=$*
command -v meson >/dev/null || { echo "meson is not there"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
complain() { echo "$*"; bad=1; }

# Every library that pkg-config knows here, but cmocka.
mkdir "$dir/pc"
pkg-config --variable pc_path pkg-config | tr : '\n' | while read -r folder; do
    [ -d "$folder" ] || continue
    find "$folder" -name '*.pc' ! -name 'cmocka*' -exec ln -sf '{}' "$dir/pc" ';'
done
setup() { # FOLDER OPTION ...
    folder=$1
    shift
    PKG_CONFIG_LIBDIR=$dir/pc PKG_CONFIG_PATH='' \
        meson setup "$dir/$folder" "$source" -Dcuda=disabled "$@" >"$dir/$folder.log" 2>&1
}
says() { # FOLDER TEXT
    grep -q -- "$2" "$dir/$1.log" || complain "$1: meson does not say '$2': $(tail -n 20 "$dir/$1.log")"
}
whole() { # FOLDER: has every program, no test
    for tool in $programs; do
        ninja -C "$dir/$1" -t targets all | grep -q "^$tool/sae-$tool:" ||
            complain "$1: sae-$tool is not built"
    done
    ninja -C "$dir/$1" -t targets all | grep -q "^tests/" && complain "$1: tests are built"
    ninja -C "$dir/$1" -t commands | grep -qi cmocka && complain "$1: something asks for cmocka"
}

if setup without; then whole without; else complain "without cmocka: $(tail -n 5 "$dir/without.log")"; fi
says without 'tests *: no: cmocka is not there'
if setup disabled -Dtests=disabled; then whole disabled; else complain "-Dtests=disabled fails"; fi
says disabled 'tests *: no (-Dtests=disabled)'
setup enabled -Dtests=enabled && complain "-Dtests=enabled: no error where cmocka is not there"
says enabled 'ERROR.*cmocka'
exit $bad
