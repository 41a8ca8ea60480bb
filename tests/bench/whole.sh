#!/bin/sh
# SPDX-License-Identifier: MIT
# whole.sh : what a whole run of sae-train takes beside the sum of its steps.
#
#   tests/bench/whole.sh BUILD [STEPS 60] [D 2304] [M 16384] [ROWS 16384]
#
# A synthetic store in a folder of its own under TMPDIR; runs of topk (k 40), plain and progressive,
# each with a point of the series every ten steps and with as few as there can be. Prints for each the seconds of the whole, of its
# steps, of waiting for batches, of the series and of the five checkpoints, and what a run of as many
# steps as a study has would take over its steps. Reading is timed by bench_read on the same store.
set -eu
build=$(cd "${1:?usage: whole.sh BUILD [STEPS] [D] [M] [ROWS]}" && pwd)
steps=${2:-60} d=${3:-2304} m=${4:-16384} rows=${5:-16384}
work=$(mktemp -d "${TMPDIR:-/tmp}/whole.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

"$build/tests/unit/fixtures/make_store" acts "$rows" "$d" 1 correlated 20 "$d" 2 0
"$build/tests/bench/bench_read" acts

# A member of the answer's "seconds".
number() { sed -n '/"seconds"/,/}/p' "$2" | sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" | head -1; }

run() {
    name=$1
    shift
    "$build/train/sae-train" --acts acts --arch topk --k 40 --m "$m" --batch 2048 \
        --tokens $((steps * 2048)) --json --quiet "$@" -o "$name" > "$name.json"
    all=$(number all "$name.json") step=$(number steps "$name.json")
    wait=$(number waiting "$name.json") series=$(number series "$name.json")
    save=$(number checkpoints "$name.json")
    echo "$name $steps $all $step $wait $series $save" | awk '{
        once = $3 - $4 - $5 - $6 - $7
        printf "%-24s %4d steps  all %.2f s  steps %.2f (%.0f ms each)  waiting %.2f  series %.2f (%.1f %%)  " \
               "checkpoints %.2f  start and end %.2f\n", $1, $2, $3, $4, 1e3 * $4 / $2, $5, $6, 100 * $6 / $4, $7, once
        printf "%-24s over its steps: %.1f %%; in a run of 10000 steps %.1f %%\n", "", 100 * ($3 / $4 - 1), \
               100 * (($5 + $6) / $4 + ($7 + once) / ($4 / $2 * 10000))
    }'
}

# What a point of the series costs, in steps: what two runs took that differ in nothing else.
point() {
    with=$(number steps "$1.json") and=$(number series "$1.json")
    without=$(number steps "$2.json") less=$(number series "$2.json")
    echo "$with $and $without $less $steps" | awk '{
        points = int($5 / 10) + 1 - 2
        step = $3 / $5
        cost = ($1 + $2 - $3 - $4) / points / step
        printf "a point of the series: %.2f steps; at one in a hundredth of a run of 10000 steps %.1f %%\n", \
               cost, 100 * cost / 100
    }'
}

for orth in none progressive; do
    run "$orth" --orth "$orth" --log-every 10
    run "${orth}_bare" --orth "$orth" --log-every 1000000
    point "$orth" "${orth}_bare"
done
