#!/bin/bash
# SPDX-License-Identifier: MIT
# Two programs at once on one run, one store, one cache. What lies there afterwards must be, byte for
# byte, what one of them alone leaves, or both one after the other; at least one must succeed, and who
# does not says why. Never a mixture.
#
#   race.sh BUILD SOURCE [ROUNDS 1] [SEED 1] [NAME ...]
#
# ROUNDS of every pair, the second started after a random part of the first one's time.
set -u
build=$(realpath "$1") root=$(realpath "$2") rounds=${3:-1} seed=${4:-1}
shift $(($# < 4 ? $# : 4))
RANDOM=$seed
. "$root/tests/inject/works.sh"
pairs=0 refused=0 bad=0

# --- pairs: what both begin from (of works.sh, or make_X here), and the two ----------------------

train="$build/train/sae-train -q --threads 1"
harvest="$build/harvest/sae-harvest -q --threads 1 --model $model --text text.jsonl --context 32"
run_1="--acts acts $small --steps 60 --save-every 7 --pairs 4 -o run_1"

make_two_trains() { make_train; }
one_two_trains() { $run $train $run_1 --seed 1; }
two_two_trains() { $run $train $run_1 --seed 2; }

make_two_resumes() { make_resume; }
one_two_resumes() { $run $train --resume run_1; }
two_two_resumes() { $run $train --resume run_1; }

make_two_continues() { make_train; }
one_two_continues() { $run $train $run_1 --continue; }
two_two_continues() { one_two_continues; }

make_two_sweeps() { make_train; }
one_two_sweeps() { $run $train --acts acts $small --steps 20 --seed 1,2 -o sweep; }
two_two_sweeps() { $run $train --acts acts $small --steps 20 --seed 2,3 -o sweep; }

make_two_harvests() { make_texts; }
one_two_harvests() { $run $harvest --layer 3 --tokens 600 --shard-rows 100 -o acts; }
two_two_harvests() { $run $harvest --layer 2 --tokens 600 --shard-rows 100 -o acts; }

make_same_harvests() { make_texts; }
one_same_harvests() { one_two_harvests; }
two_same_harvests() { one_two_harvests; }

make_two_labels() { make_labels; }
one_two_labels() { do_labels; }
two_two_labels() { do_labels; }

make_two_splices() {
    make_splice
    $train --acts acts $small --batch 32 --heldout-rows 64 --steps 6 --seed 7 -o run_2 >/dev/null
}
splice="$build/splice/sae-splice -q --threads 1 --skip 0 --contexts 3 --context 32 --batch 1"
one_two_splices() { $run $splice run_1; }
two_two_splices() { $run $splice run_2; }

make_same_splices() { make_splice; }
one_same_splices() { $run $splice run_1; }
two_same_splices() { $run $splice run_1; }

make_two_absorbs() { make_absorb; }
absorb="$build/absorb/sae-absorb -q --threads 1 --max-k 2"
one_two_absorbs() { $run $absorb run_1/ckpt_50.h5; }
two_two_absorbs() { $run $absorb run_1/ckpt_100.h5; }

make_same_probes() { make_probe; }
one_same_probes() { do_probe; }
two_same_probes() { do_probe; }

make_same_autointerps() { start_chat; make_autointerp; }
one_same_autointerps() { do_autointerp; }
two_same_autointerps() { do_autointerp; }

make_same_unlearns() { make_unlearn; }
one_same_unlearns() { do_unlearn; }
two_same_unlearns() { do_unlearn; }

make_same_converts() { make_convert; }
one_same_converts() { do_convert; }
two_same_converts() { do_convert; }

# One writes, the other reads what is there so far.
make_train_and_report() { make_train; }
one_train_and_report() { $run $train $run_1 --seed 1; }
two_train_and_report() { $run "$build/report/sae-report" --no-draw run_1; }
make_harvest_and_train() { make_texts; }
one_harvest_and_train() { one_two_harvests; }
two_harvest_and_train() { $run $train --acts acts --m 32 --k 4 --batch 32 --heldout-rows 64 --steps 8 -o run_1; }
make_train_and_analyze() { make_train; }
one_train_and_analyze() { one_two_trains; }
two_train_and_analyze() { $run "$build/analyze/sae-analyze" -q --threads 1 --no-charts --sample 8 --weights-only run_1/ckpt_00.h5; }

# --- one round -----------------------------------------------------------------------------------

# What may lie there: the folders of one alone, two alone, and one after the other.
serial() { # FOLDER FIRST [SECOND]
    local step
    copy_base
    run=
    for step in "${@:2}"; do "${step}_$name" >/dev/null 2>&1; done
    cd "$top" && rm -rf "$1" && mv work "$1"
}

complain() {
    echo "$name, round $round: $*"
    sed 's/^/    first: /' "$top/err1" | head -n 2
    sed 's/^/    second: /' "$top/err2" | head -n 2
    bad=$((bad + 1))
}

race() {
    local first rc1 rc2 folder differs least=
    copy_base
    run=exec
    ("one_$name") >"$top/out1" 2>"$top/err1" &
    first=$!
    # every other time all but at once
    sleep "$(awk -v r=$RANDOM -v t="$length" -v near=$((round % 2)) \
        'BEGIN { printf "%.4f", r / 32767 * (near ? 2e4 : t * 0.8) / 1e6 }')"
    ("two_$name") >"$top/out2" 2>"$top/err2"
    rc2=$?
    wait "$first"
    rc1=$?
    cd "$top" || exit 1
    pairs=$((pairs + 1))
    [ $rc1 -lt 124 ] && [ $rc2 -lt 124 ] || complain "ended with status $rc1 and $rc2"
    [ $rc1 = 0 ] || [ $rc2 = 0 ] || complain "neither succeeded"
    [ $rc1 = 0 ] || [ -s err1 ] || complain "the first failed without a word"
    [ $rc2 = 0 ] || [ -s err2 ] || complain "the second failed without a word"
    [ $rc1 = 0 ] && [ $rc2 = 0 ] || refused=$((refused + 1))
    for folder in one two one_two two_one; do
        differs=$(tree_differs "$folder" work)
        [ -n "$differs" ] || return 0
        [ -n "$least" ] && [ ${#differs} -ge ${#least} ] || least=$differs
    done
    complain "status $rc1 and $rc2, a mixture: $least"
}

try_pair() {
    local began
    name=$1
    rm -rf "$top/base" "$top/work"
    mkdir "$top/work" && cd "$top/work" || exit 1
    run=
    "make_$name" >"$top/out" 2>"$top/err" || { echo "$name: $(cat "$top/err")"; bad=1; return; }
    cd "$top" && mv work base
    began=$(date +%s%N)
    serial one one
    length=$((($(date +%s%N) - began) / 1000))
    serial two two
    serial one_two one two
    serial two_one two one
    for round in $(seq "$rounds"); do race; done
    echo "$name: $pairs pairs so far, one of the two refused in $refused, $bad wrong"
}

[ $# -gt 0 ] || set -- two_trains two_resumes two_continues two_sweeps two_harvests same_harvests two_labels \
    two_splices same_splices two_absorbs same_probes same_autointerps same_unlearns same_converts \
    train_and_report harvest_and_train train_and_analyze
for name; do try_pair "$name"; done
[ "$bad" = 0 ] && [ "$pairs" -gt 0 ]
