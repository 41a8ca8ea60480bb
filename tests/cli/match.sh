#!/bin/sh
# sae-match as a person types it: seeds of a sweep, phases, SAEs of other settings, one alone, refusals,
# the same bytes twice, and what sae-report makes of it.
# Usage: match.sh BUILD_ROOT SOURCE_ROOT
set -u
build=$(realpath "$1")
match=$build/match/sae-match
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
"$build/tests/unit/fixtures/make_store" acts 6000 16 1 ortho 4 >/dev/null || exit 1
"$build/train/sae-train" -q --acts acts --m 24 --k 3 --batch 128 --heldout-rows 256 --lr 0.003 --steps 200 \
    --checkpoints 0,50,100 --seed 1,2,3 --freeze none,decoder -o sweep >/dev/null || exit 1

"$match" --help=all | grep -q -- '--plan' && complain "--plan is in the help, but cannot be told"
"$match" --plan sweep >/dev/null 2>&1 && complain "--plan is taken, but cannot be told"

one=$(ls sweep/*/ckpt_100.h5 | head -n 1)
"$match" --across "$one" 2>&1 >/dev/null | grep -q "no other SAE of its activations' width" ||
    complain "--across: why an SAE is alone is not said"
rm -f "${one%.h5}.match.json"

number() { jq -r ".eval_result_metrics.match.$2" "$1"; }
holds() { awk "BEGIN { exit !($1) }" || complain "not so: $2 ($1)"; }

"$match" -q --all sweep >out.txt 2>err.txt || complain "a sweep: failed: $(cat err.txt)"
[ "$(ls sweep/*/ckpt_*.match.json | wc -l)" = 18 ] || complain "not a result for each checkpoint"
[ "$(grep -c 'ckpt_' out.txt)" = 18 ] || complain "not a row for each checkpoint"
grep -q 'nan\|inf' out.txt && complain "the table shows nan or inf"
runs=$(ls -d sweep/run_*)
for run in $runs; do
    f=$run/ckpt_100.match.json
    [ "$(number $f others)" = 2 ] || complain "$f: not matched with the two other seeds"
    [ "$(number $f share_fixed_09)" = 1 ] || complain "$f: the last checkpoint is not its own end"
    holds "$(number $f gap) < 1e-5" "$f: gap"
    [ "$(jq '.eval_result_unstructured.latents.stability_decoder | length' $f)" = 24 ] ||
        complain "$f: no stability of each latent"
    holds "$(number $f mean_firing) >= 0" "$f: firing"
done
one=$(grep -L '"freeze": "decoder"' sweep/*/ckpt_100.match.json | head -n 1)
control=$(grep -l '"freeze": "decoder"' sweep/*/ckpt_100.match.json | head -n 1)
# Trained rows find the store's directions; frozen ones are what they were drawn as.
holds "$(number $one mcc_decoder) > $(number $one random_mcc_decoder) + 0.05" "a trained run is above chance"
holds "$(number $control mcc_decoder) < $(number $one mcc_decoder)" "a control agrees less"
[ "$(number ${control%100.match.json}00.match.json share_fixed_09)" = 1 ] || complain "a frozen decoder moved"
holds "$(number ${one%100.match.json}00.match.json share_fixed_09) < 1" "an untrained decoder is not the trained one"

# The same again gives the same bytes.
cp $one before.json
"$match" -q --all sweep >/dev/null || complain "again: failed"
cmp -s $one before.json || complain "not the same bytes twice"

# One alone is held against its own end, and says why against nothing else.
run=$(dirname $one)
"$match" $run/ckpt_50.h5 >out.txt 2>err.txt || complain "one alone: failed"
grep -q 'no other seed' err.txt || complain "one alone: does not say so"
[ "$(number $run/ckpt_50.match.json mcc_decoder)" = null ] || complain "one alone has a matching"
[ "$(number $run/ckpt_50.match.json share_fixed_09)" != null ] || complain "one alone is not held against its end"

# Other settings, other sizes, with and without sign: an SAE and itself in another file.
"$build/tests/unit/fixtures/make_ckpt" wide.h5 d=16 m=40 step=1000 >/dev/null || exit 1
"$match" -q --json --no-random --across $run/ckpt_100.h5 wide.h5 -o out >two.json || complain "--across: failed"
[ "$(jq length two.json)" = 2 ] || complain "--across: not two results"
[ "$(jq '.[1].eval_result_unstructured.latents.stability_decoder | map(select(. == 0)) | length' two.json)" -ge 16 ] ||
    complain "--across: the latents that are too many have partners"
[ "$(jq '.[0].eval_result_metrics.match.random_mcc_decoder' two.json)" = null ] || complain "--no-random is not heard"
a=$(jq '.[0].eval_result_metrics.match.mcc_decoder' two.json)
b=$(jq '.[1].eval_result_metrics.match.mcc_decoder' two.json)
[ "$a" = "$b" ] || complain "--across: the mean differs by side: $a, $b"
"$match" -q --json --signed --across --no-random $run/ckpt_100.h5 wide.h5 -o out2 >signed.json || complain "--signed: failed"
holds "$(jq '.[0].eval_result_metrics.match.mcc_decoder' signed.json) <= $a" "with sign no more than without"

# sae-report: a table of seeds with its error, and columns in --csv.
"$build/report/sae-report" -q --no-draw --full $runs >report.txt || complain "sae-report failed"
grep -q 'PW-MCC' report.txt || complain "sae-report does not show PW-MCC"
"$build/report/sae-report" -q --no-draw --csv - $runs | grep -q 'pw_mcc' || complain "--csv lacks pw_mcc"

# Every result depends on all SAEs named: with a damaged one there is none.
head -c 3000 wide.h5 >damaged.h5
"$match" -q --across $run/ckpt_100.h5 damaged.h5 -o out3 >/dev/null 2>err.txt && complain "a damaged SAE: taken"
grep -q 'damaged.h5.*depends on all' err.txt || complain "a damaged SAE: not told as one"
[ -e out3 ] && complain "a damaged SAE: a result is written"

"$match" nowhere.h5 >/dev/null 2>err.txt && complain "no file: taken"
grep -q 'nowhere.h5' err.txt || complain "no file: not named"
exit $bad
