#!/bin/sh
# sae-probe as a person types it, on fabricated sets whose answers are known.
# Usage: probe.sh SAE_PROBE EVAL_MAKE SOURCE_ROOT
set -u
probe=$(realpath "$1") make=$(realpath "$2") root=$(realpath "$3")
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$make" "$dir" || exit 1
cd "$dir" || exit 1

# No operand: the newest checkpoint of every run here; both sets found through the record.
out=$("$probe" --k 1,2,5 2>err.txt) || complain "plain call failed: $(cat err.txt)"
case "$out" in run_1/ckpt_100.h5*) ;; *) complain "does not name the checkpoint: $out" ;; esac
printf '%s\n' "$out" | grep -Eq '^ *topic +4 +80 +20 +latents +1\.0000 +1\.0000 +1\.0000 +1\.0000' ||
    complain "topic is not 1.0: $out"
printf '%s\n' "$out" | grep -Eq '^ *mood +2 +160 +40 +latents +0\.8000' || complain "mood is not 0.8"
printf '%s\n' "$out" | grep -Eq '^ *mean .*neurons +0\.9000' || complain "mean is not 0.9"
[ -f run_1/ckpt_100.probe.json ] || complain "no result file"
sh "$root/tests/cli/saebench.sh" "$root" run_1/ckpt_100.probe.json || complain "not SAEBench's form"
[ -f run_1/ckpt_50.probe.json ] && complain "an older checkpoint was probed"
[ -f run_1/ckpt_100.probe.part.json ] && complain "the part file stayed"
grep -q '"eval_type_id": "sparse_probing"' run_1/ckpt_100.probe.json || complain "wrong result type"

# Equal runs give equal bytes, on one thread and on two; from inside the run too.
cp run_1/ckpt_100.probe.json first.json
(cd run_1 && "$probe" -q --k 1,2,5 >/dev/null) || complain "inside the run: failed"
strip() { grep -v '"command"\|"threads"\|"eval_id"' "$1"; }
strip run_1/ckpt_100.probe.json >b.txt
strip first.json >a.txt
cmp -s a.txt b.txt || complain "a second run gives another result"
"$probe" -q --k 1,2,5 --threads 1 run_1 >/dev/null
strip run_1/ckpt_100.probe.json | cmp -s - a.txt || complain "one thread gives another result"

# --all, --json, --labels, --no-full, other seeds and sizes
"$probe" -q --all run_1 >/dev/null || complain "--all failed"
[ -f run_1/ckpt_50.probe.json ] || complain "--all left out ckpt_50"
"$probe" -q --json --k 1 --seeds 7 --train-size 40 --test-size 10 --no-full --batch 7 \
    --labels acts/labels_topic.h5 run_1/ckpt_50.h5 >one.json || complain "--json failed"
grep -q '"n_train_texts_max": 40' one.json || complain "--train-size is ignored"
grep -q '"n_test_texts_max": 10' one.json || complain "--test-size is ignored"
grep -q '"sae_test_accuracy": null' one.json || complain "--no-full is ignored"
grep -q 'mood' one.json && complain "--labels is ignored"
cmp -s one.json run_1/ckpt_50.probe.json || complain "--json differs from the file"

# A result that cannot be written: said before the work where that can be known, and else the
# numbers are printed.
: >file
out=$("$probe" -q --k 1,2,5 -o file/x.json run_1 2>err.txt) && complain "-o file/x.json: status 0"
[ -z "$out" ] || complain "-o file/x.json: worked first"
grep -q "cannot write 'file/x.json'.*-o FOLDER" err.txt || complain "-o file/x.json: $(cat err.txt)"
(ulimit -f 1; "$probe" -q --k 1,2,5 -o big.json run_1 2>err.txt; echo $? >code) | cat >out.txt
[ "$(cat code)" = 1 ] || complain "no room: status $(cat code)"
grep -q 'topic .*latents' out.txt || complain "no room: the numbers are lost: $(cat out.txt err.txt)"
grep -q "cannot write 'big.json': File too large" err.txt || complain "no room: $(cat err.txt)"
ls | grep big.json && complain "no room: something is left"

# A damaged part file of an interrupted run costs nothing but its own work.
echo '{"key": 1' >run_1/ckpt_100.probe.part.json
"$probe" -q --k 1,2,5 run_1 >/dev/null || complain "a damaged part file stops the run"
strip run_1/ckpt_100.probe.json | cmp -s - a.txt || complain "a damaged part file changes a result"

# A damaged checkpoint does not keep the others from their results; the status tells.
rm run_1/*.probe.json
head -c 3000 run_1/ckpt_50.h5 >run_1/ckpt_75.h5
"$probe" -q --k 1 --all run_1 >/dev/null 2>err.txt
[ $? -eq 1 ] || complain "a damaged checkpoint goes unnoticed"
grep -q '1 of 3 SAEs could not be read' err.txt || complain "does not count: $(cat err.txt)"
[ -f run_1/ckpt_50.probe.json ] && [ -f run_1/ckpt_100.probe.json ] ||
    complain "the others have no result"
rm run_1/ckpt_75.h5

# sae-probes' protocol: one activation a text, of which one in ten says the other class.
last() { "$probe" -q --protocol sae-probes "$@"; }
out=$(last run_1 2>err.txt) || complain "--protocol sae-probes failed: $(cat err.txt)"
printf '%s\n' "$out" | grep -Eq '^ *tone +140 +99 +1 +0\.9[0-9]+ +0\.9[0-9]+ +0\.9[0-9]+ +[01]$' ||
    complain "tone is not 0.9: $out"
printf '%s\n' "$out" | grep -Eq '^ *tone .* activation +0\.9' || complain "no bar: $out"
sh "$root/tests/cli/saebench.sh" "$root" run_1/ckpt_100.sae_probes.json || complain "not SAEBench's form"
[ -f run_1/ckpt_100.sae_probes.part.json ] && complain "the part file stayed"
cp run_1/ckpt_100.sae_probes.json first.json
last --threads 1 run_1 >/dev/null
strip first.json >a.txt
strip run_1/ckpt_100.sae_probes.json | cmp -s - a.txt || complain "one thread gives other probes"
last --json --no-full --k 3 --seeds 7 --all run_1 >two.json || complain "--all, --json failed"
jq -se 'flatten | length == 2 and all(.[]; .eval_config.random_seed == 7 and
    .eval_result_metrics.llm.llm_test_auc == null and
    .eval_result_metrics.sae.sae_top_3_test_auc > 0.8 and
    (.eval_result_unstructured.choices.tone.latents | length) == 3)' two.json >/dev/null ||
    complain "--k, --seeds or --no-full is ignored"

# Refusals: one line, status, what to do
expect() { # status, part of the message, arguments...
    want=$1 part=$2
    shift 2
    got=$("$probe" "$@" 2>&1 >/dev/null)
    code=$?
    [ $code = "$want" ] || complain "$*: status $code, expected $want"
    case "$got" in *"$part"*) ;; *) complain "$*: says '$got'" ;; esac
}
expect 2 'must be at least 1' --k 0
expect 2 'a raw activation has 34 features' -q --k 1000 run_1
expect 2 "with: sae-harvest --like ACTS --labels mood.csv" -q --labels mood.csv run_1
expect 1 'nothing.h5' -q --labels nothing.h5 run_1
expect 1 'kind' -q --labels acts/words.h5 run_1
head -c 3000 acts/labels_mood.h5 >acts/short.h5
expect 1 'short.h5' -q --labels acts/short.h5 run_1
expect 2 'is not computed here; expected normal' -q --protocol sae-probes --setting scarcity run_1
expect 2 'no meaning without --protocol sae-probes' -q --setting normal run_1
expect 2 'takes one seed' -q --protocol sae-probes --seeds 1,2 run_1
expect 2 '--train-size has no meaning' -q --protocol sae-probes --train-size 9 run_1
expect 2 'the autoencoder has 130 features' -q --protocol sae-probes --k 1000 run_1
expect 1 "'few' has 30 texts" -q --protocol sae-probes --labels acts/few.h5 run_1
# Beside another set, one of too few texts is left out with a warning.
fit=$(ls acts/last_*.h5 | head -n 1)
"$probe" --protocol sae-probes -o left --labels "acts/few.h5,$fit" run_1 >out.txt 2>err.txt ||
    complain "a set of too few texts stops the others: $(cat err.txt)"
grep -q "'few' has 30 texts.*left out" err.txt || complain "no warning of a set left out: $(cat err.txt)"
expect 2 '--plan does not measure --protocol sae-probes' -q --protocol sae-probes --plan run_1
expect 1 'kind' -q --protocol sae-probes --labels acts/labels_mood.h5 run_1
expect 1 'kind' -q --labels acts/last_tone.h5 run_1
expect 2 'with: sae-harvest --like ACTS --sae-probes mood.csv' -q --protocol sae-probes \
    --labels mood.csv run_1
head -c 3000 acts/last_tone.h5 >acts/short.h5
expect 1 'short.h5' -q --protocol sae-probes --labels acts/short.h5 run_1
mv acts/last_tone.h5 gone.h5
expect 1 'no labelled sets (last_*.h5)' -q --protocol sae-probes run_1
mv gone.h5 acts/last_tone.h5
mv acts gone
expect 1 "is not at 'acts' any more; put it back, or name its new place with --acts DIR, or the sets with --labels" \
    -q run_1
mv gone acts
mkdir empty && cd empty || exit 1
expect 2 'no checkpoint' -q
exit $bad
