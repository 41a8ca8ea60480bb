#!/bin/bash
# SPDX-License-Identifier: MIT
# Fuzzes the readers for as long as one likes, one target after the other: SECONDS for each.
#
#   tests/fuzz/run.sh SECONDS [TARGET ...]        all targets where none is named
#
# Built with clang's libFuzzer and the address and undefined-behaviour sanitizers where clang is there,
# else with the driver of this folder and gcc's sanitizers. What is found stays in build-fuzz/found, what
# was reached in build-fuzz/corpus, for the next time. Prints executions and coverage (edges reached).
set -u
seconds=${1:?usage: run.sh SECONDS [TARGET ...]}
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SAE_FUZZ_BUILD:-$root/build-fuzz}
[ $# -gt 0 ] || set -- $(sed -n "s/^  '\([a-z0-9]*\)': .*/\1/p" "$root/tests/fuzz/meson.build")
sanitize="-Db_sanitize=address,undefined -Db_lundef=false --buildtype=debugoptimized -Dcuda=disabled"
engine=yes
if [ ! -f "$build/build.ninja" ]; then
    if [ -z "${SAE_FUZZ_PLAIN:-}" ] && command -v clang >/dev/null; then
        cover=-fsanitize=fuzzer-no-link
        CC=${SAE_FUZZ_CC:-clang} CXX=${SAE_FUZZ_CXX:-clang++} meson setup "$build" $sanitize \
            "-Dc_args=$cover" "-Dcpp_args=$cover" >"$build.log" 2>&1
    else
        meson setup "$build" $sanitize >"$build.log" 2>&1
    fi || { tail -n 20 "$build.log"; exit 1; }
fi
grep -q fuzzer-no-link "$build/build.ninja" || engine=no
ninja -C "$build" $(printf 'tests/fuzz/fuzz_%s ' "$@") >"$build.log" 2>&1 ||
    { grep -A8 FAILED "$build.log" | head -n 40; exit 1; }

export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=1024:detect_leaks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export OMP_NUM_THREADS=1
SAE_FUZZ_DIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)")
export SAE_FUZZ_DIR
trap 'rm -rf "$SAE_FUZZ_DIR"' EXIT
trap 'exit 130' INT TERM HUP
found=0
for name; do
    program=$build/tests/fuzz/fuzz_$name
    mkdir -p "$build/corpus/$name" "$build/found"
    log=$build/$name.log
    if [ $engine = yes ]; then
        SAE_FUZZ_SEEDS=$build/corpus/$name "$program"
        cp -n "$root/tests/fuzz/found/$name"/* "$build/corpus/$name/" 2>/dev/null
        "$program" -max_total_time="$seconds" -print_final_stats=1 -max_len=65536 -len_control=20 \
            -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=0 -dict="$root/tests/fuzz/dict/$name.dict" \
            -artifact_prefix="$build/found/$name-" "$build/corpus/$name" >"$log" 2>&1
        rc=$?
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        cover=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
        echo "$name: ${runs:-0} runs, ${cover:-0} edges, rc $rc"
    else
        "$program" -t "$seconds" -s "$(date +%s)" -d "$root/tests/fuzz/dict/$name.dict" \
            -i "$root/tests/fuzz/found/$name" -o "$build/found" >"$log" 2>&1
        rc=$?
        tail -n 1 "$log"
    fi
    [ $rc = 0 ] || { found=1; grep -m1 -A12 -E 'ERROR|runtime error|finding|no end' "$log"; }
done
exit $found
