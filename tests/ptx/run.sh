#!/bin/bash
# nvcc's own code of every kernel, run without a device: each operation, those of the language model,
# and whole runs, which must give equal bytes twice and with blocks and threads turned round, and tell
# of a device that fails in the middle.   tests/ptx/run.sh BUILD
set -u
build=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
complain() { echo "$*"; bad=1; }

# A program that believes in a device.
on_ptx() { env LD_LIBRARY_PATH="$build/tests/ptx" LD_PRELOAD="$build/tests/ptx/ptx_driver.so" "$@"; }

check() {
    on_ptx "$@" >"$dir/out" 2>&1 && return
    complain "$*: $?"
    grep -v ' OK \| RUN ' "$dir/out" | head -n 20
}
check "$build/tests/ops/checkops" --backend cuda --light
check "$build/tests/ops/checklm" --backend cuda

"$build/tests/unit/fixtures/make_store" "$dir/acts" 3000 16 1 ortho 4 >/dev/null || complain "make_store"
run() { # name, environment, architecture
    # shellcheck disable=SC2086
    on_ptx $2 "$build/train/sae-train" -q --backend cuda --acts "$dir/acts" $3 --m 48 --batch 64 \
        --steps 12 --orth progressive --base-threshold 0.05 --checkpoints 100 --heldout-rows 256 \
        --force -o "$dir/$1" >"$dir/$1.txt" 2>"$dir/err"
}
for arch in "--arch topk --k 4" "--arch batchtopk --k 4" "--arch gated --normalize unit"; do
    run once "" "$arch" && run again "" "$arch" && run turned "PTX_REVERSE=1 PTX_NOW=1" "$arch" ||
        { complain "sae-train $arch"; cat "$dir/err"; }
    for other in again turned; do
        cmp "$dir/once/ckpt_100.h5" "$dir/$other/ckpt_100.h5" || complain "$arch: '$other' differs"
    done
done
run fault "PTX_FAIL_AT=6" "--arch topk --k 4" && complain "a device that fails: status 0"
grep -q "illegal memory access" "$dir/err" ||
    { complain "a device that fails is not told as one:"; cat "$dir/err"; }
exit $bad
