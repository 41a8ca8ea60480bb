#!/bin/sh
# Builds saekit and runs every test that needs no GPU: once as released, once under the address
# and undefined-behaviour sanitizers. Ends with "N passed, N failed".
#   ./test.sh            everything
#   ./test.sh --quick    without the sanitizer pass
set -eu
cd "$(dirname "$0")"
./packages.sh test
export OMP_WAIT_POLICY=passive

# One pass: build folder, Meson options, suites.
pass() {
    folder=$1 options="-Dtests=enabled $2" suites=$3
    if [ ! -f "$folder/build.ninja" ]; then
        # shellcheck disable=SC2086
        scripts/follow.sh "$folder.log" meson setup "$folder" $options || return 1
    fi
    echo "building $folder"
    scripts/follow.sh "$folder.log" ninja -C "$folder" || return 1
    # shellcheck disable=SC2086
    meson test -C "$folder" --no-rebuild --print-errorlogs $suites || true
}

# Results of a pass, one word per test.
results() {
    sed -n 's/.*"result": "\([A-Z]*\)".*/\1/p' "$1/meson-logs/testlog.json"
}

rm -f build-test/meson-logs/testlog.json build-asan/meson-logs/testlog.json
passed=0 failed=0 skipped=0
count() {
    for word in $(results "$1"); do
        case "$word" in
        OK | EXPECTEDFAIL) passed=$((passed + 1)) ;;
        SKIP) skipped=$((skipped + 1)) ;;
        *) failed=$((failed + 1)) ;;
        esac
    done
}

if pass build-test "--buildtype=release" ""; then
    count build-test
else
    failed=$((failed + 1))
fi
if [ "${1:-}" != "--quick" ] && [ ! -r /proc/self/environ ]; then
    echo "the sanitizers are left out: they read their settings in /proc, which is not mounted"
    skipped=$((skipped + 1))
elif [ "${1:-}" != "--quick" ]; then
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    if pass build-asan "--buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dcuda=disabled" \
        "--suite unit --suite ops --suite fuzz --timeout-multiplier 4"; then
        count build-asan
    else
        failed=$((failed + 1))
    fi
fi
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
