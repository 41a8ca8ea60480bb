#!/bin/sh
# --plan of every program that has it: it writes nothing, and the memory, disk and lists it names are those
# of the real command, which is run and measured. Memory lies within 5 % and 6 MB of the most the process
# held: some megabytes of a small process are what its libraries and the allocator touch, run by run. Times
# depend on what else the machine does: they are looked at for order of magnitude alone.
# Usage: plan.sh BUILD_ROOT SOURCE_ROOT
set -eu
build=$1
source=$2
peak=$build/tests/unit/fixtures/peak
[ -r /proc/self/status ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_NUM_THREADS=2 SAE_NO_RESTART=1
texts=$source/data/corpora/texts
fail() { echo "$*"; exit 1; }
number() { sed -n 's/^  "'"$2"'": \([0-9.e+]*\),*$/\1/p' "$1"; }

# check NAME OUTPUT PROGRAM ARGUMENT...: the plan, then the command, which makes or adds to OUTPUT
check() {
    name=$1 output=$2 program=$build/$3/sae-$3
    shift 3
    find . -type f ! -name '*.out' | LC_ALL=C sort >before.out
    "$program" --plan --json "$@" >plan.out 2>err.out || { cat err.out; fail "$name: --plan failed"; }
    find . -type f ! -name '*.out' | LC_ALL=C sort | cmp - before.out || fail "$name: --plan wrote something"
    "$program" --plan "$@" >people.out 2>err.out || fail "$name: --plan for people failed"
    for what in memory disk time operations; do
        grep -q "^  $what  " people.out || { cat people.out; fail "$name: no line of $what"; }
    done
    size=$(du -sk "$output" 2>/dev/null | cut -f1)
    "$peak" took.out "$program" -q "$@" >run.out 2>err.out || { cat err.out; fail "$name failed"; }
    disk=$(($(du -sk "$output" | cut -f1) - ${size:-0}))
    took=$(sed 's/peak \([0-9]*\) .*/\1/' took.out)
    wall=$(sed 's/.* wall //' took.out)
    echo "$name: planned $(number plan.out memory_bytes), took $took bytes;" \
        "$(number plan.out disk_bytes) bytes of disk, took ${disk}k; $(number plan.out seconds) s, took $wall"
    awk -v plan="$(number plan.out memory_bytes)" -v took="$took" 'BEGIN {
        d = plan - took
        exit !((d < 0 ? -d : d) <= 0.05 * took + 6e6)
    }' || { cat plan.out; fail "$name: memory"; }
    awk -v plan="$(number plan.out disk_bytes)" -v took="$disk" 'BEGIN {
        exit !(took * 1024 <= 1.2 * plan + 1e6)
    }' || { cat plan.out; fail "$name: disk"; }
    awk -v plan="$(number plan.out seconds)" -v flops="$(number plan.out flops)" 'BEGIN {
        exit !(plan > 0 && plan < 600 && flops > 0)
    }' || { cat plan.out; fail "$name: seconds or operations"; }
}

model="--model $source/data/tiny-g2 --layer 3"
# shellcheck disable=SC2086
check 'harvest, text' acts harvest $model --text "$texts/prose.jsonl.zst" --tokens 40K -o acts
# shellcheck disable=SC2086
check 'harvest, labels' acts harvest $model --labels "$texts/labels/book.csv.zst" \
    --max-train-per-class 200 --max-test-per-class 50 -o acts
# shellcheck disable=SC2086
check 'harvest, words' acts harvest $model --words --max-words 300 -o acts
check 'train' run_1 train --acts acts --arch topk --k 16 --m 1024 --batch 512 --steps 40 -o run_1
check 'train, orthogonality' run_2 train --acts acts --arch topk --k 16 --m 1024 --batch 512 --steps 40 \
    --orth progressive --lambda2-max 0.1 -o run_2
check 'splice' . splice --contexts 32 run_1
check 'unlearn' run_1 unlearn --task "$texts/unlearn" --rows 64 --multipliers 50 --features 10 run_1

check 'analyze' run_1 analyze --no-charts run_1
check 'probe' run_1 probe run_1
check 'absorb' . absorb run_1
check 'ablate' run_1 ablate run_1
# the time of another model's answers is not known
"$build/autointerp/sae-autointerp" --plan --json --latents 5 --model "$source/data/tiny-g2" run_1 >plan.out 2>err.out ||
    { cat err.out; fail "autointerp: --plan failed"; }
grep -q '^  "seconds": null' plan.out || fail "autointerp: it knows how fast another model answers"

# less free than is needed: a warning before the work, here of memory that no machine has
"$build/train/sae-train" --acts acts --arch topk --k 16 --m 64M --batch 512 \
    --any-space --plan --json -o big >plan.out 2>err.out || { cat err.out; fail "a plan beyond memory"; }
grep -q '"seconds": null' plan.out || fail "a run beyond memory was tried"
