#!/bin/sh
# sae-splice as a person types it, on the embedded language model and a text of our own.
# Usage: splice.sh BUILD_ROOT SOURCE_ROOT
set -u
build=$1 root=$2
splice=$build/splice/sae-splice
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Twelve documents; the store takes the first few, the evaluation those after them.
mkdir study && cp -r "$root/data/tiny-g2" study/model
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    text=$(sed -n "$((i * 3 + 1)),$((i * 3 + 40))p" "$root/docs/MATH.md" | tr -d '\\"`' | tr '\n\t' '  ')
    printf '{"text": "%s"}\n' "$text"
done >study/text.jsonl
"$build/harvest/sae-harvest" -q --model study/model --layer 3 --text study/text.jsonl --tokens 3000 \
    --context 64 -o study/acts >/dev/null || exit 1
"$build/train/sae-train" -q --acts study/acts --k 8 --m 64 --batch 64 --steps 20 --heldout-rows 256 \
    -o study/run_1 >/dev/null || exit 1
"$build/train/sae-train" -q --acts study/acts --k 8 --m 64 --batch 64 --steps 20 --heldout-rows 256 \
    --seed 7 -o study/run_2 >/dev/null || exit 1
cd study || exit 1

out=$("$splice" --contexts 8 --context 64 run_1 2>err.txt) || complain "plain call failed: $(cat err.txt)"
printf '%s\n' "$out" | grep -q '^run_1/ckpt_100.h5 ' || complain "no row: $out"
grep -q 'after those the store holds' err.txt || complain "does not say which text: $(cat err.txt)"
grep -q '"eval_type_id": "core"' run_1/ckpt_100.core.json || complain "no result"
grep -q '"text_part": "after the store' run_1/ckpt_100.core.json || complain "text part not recorded"
grep -q '"feature_density"' run_1/ckpt_100.core.json || complain "no rows of latents"
sh "$root/tests/cli/saebench.sh" "$root" run_1/ckpt_100.core.json || complain "not SAEBench's form"
cp run_1/ckpt_100.core.json first.json

# Several checkpoints in one pass give the numbers of each alone; equal calls, equal bytes.
"$splice" -q --contexts 8 --context 64 --all run_1 run_2 >all.txt || complain "--all failed"
[ "$(grep -c '^run_._*/*ckpt\|^run_' all.txt)" -eq 10 ] || complain "not ten rows: $(cat all.txt)"
metrics() { sed -n '/"eval_result_metrics"/,/"eval_result_details"/p' "$1"; }
metrics first.json >a.txt
metrics run_1/ckpt_100.core.json | cmp -s - a.txt || complain "one pass for all changes numbers"
"$splice" -q --threads 1 --contexts 8 --context 64 run_1 >/dev/null
metrics run_1/ckpt_100.core.json | cmp -s - a.txt || complain "the number of threads changes numbers"
"$splice" -q --json --no-features --contexts 4 --context 64 run_1 >one.json || complain "--json failed"
cmp -s one.json run_1/ckpt_100.core.json || complain "--json differs from the file"
grep -q '"eval_result_details": \[\]' one.json || complain "--no-features is not heeded"

# What the untouched model did is kept beside the store; read or made anew, the numbers are equal.
ls acts/reference/*.h5 >/dev/null 2>&1 || complain "no reference beside the store"
"$splice" -q --no-keep --contexts 8 --context 64 run_1 >/dev/null
metrics run_1/ckpt_100.core.json | cmp -s - a.txt || complain "the kept reference changes numbers"
for file in acts/reference/*.h5; do dd if=/dev/zero of="$file" bs=1 seek=20000 count=99 conv=notrunc 2>/dev/null; done
"$splice" --contexts 8 --context 64 run_1 >/dev/null 2>err.txt || complain "damaged reference: $(cat err.txt)"
grep -q 'running the model again' err.txt || complain "damage goes unnoticed: $(cat err.txt)"
metrics run_1/ckpt_100.core.json | cmp -s - a.txt || complain "a damaged reference changes numbers"
"$splice" -q --reference-size 1K --reference elsewhere_ --contexts 8 --context 64 run_1 >/dev/null
[ ! -e elsewhere_ ] || complain "--reference-size is not heeded"

# A folder that takes no reference costs a later run time, and this one a warning.
rm -rf acts/reference && : >acts/reference
"$splice" -q --contexts 8 --context 64 run_1 >/dev/null 2>err.txt || complain "no cache: $(cat err.txt)"
[ "$(grep -c 'warning: .*the work continues' err.txt)" = 1 ] || complain "no cache: says $(cat err.txt)"
metrics run_1/ckpt_100.core.json | cmp -s - a.txt || complain "no cache: other numbers"
# Two that fill one folder at once do not disturb each other.
for i in 1 2 3; do
    rm -rf acts/reference
    "$splice" -q --contexts 4 --batch 2 --context 64 run_2 >/dev/null 2>err2.txt &
    "$splice" -q --contexts 4 --batch 2 --context 64 run_1 >/dev/null 2>err.txt || complain "two at once: $(cat err.txt)"
    wait $! || complain "two at once: $(cat err2.txt)"
    cat err.txt err2.txt | grep . && complain "two at once: not in peace"
done

# Interrupted at some moment or not at all, then asked again: the same bytes, nothing left behind.
"$splice" -q --no-keep --batch 1 --contexts 24 --context 64 --all run_1 run_2 >/dev/null
mkdir first && cp run_1/*.core.json first/
for after in 0.1 0.3 0.6; do
    timeout -s INT "$after" "$splice" -q --no-keep --batch 1 --contexts 24 --context 64 --all run_1 run_2 \
        >/dev/null 2>&1
done
"$splice" -q --no-keep --batch 1 --contexts 24 --context 64 --all run_1 run_2 >/dev/null || complain "resume"
for file in run_1/*.core.json; do
    cmp -s "$file" "first/$(basename "$file")" ||
        complain "$file differs after an interruption"
done
ls run_*/*.part* 2>/dev/null && complain "a part is left behind"

# What was stopped is no checkpoint.
: >run_1/ckpt_50.core.part.hdf5
"$splice" -q --no-keep --contexts 4 --context 64 --all run_1 >/dev/null 2>err.txt ||
    complain "a part file counts as a checkpoint: $(cat err.txt)"

# A text of one's own; from inside the run.
gzip -k text.jsonl
(cd run_2 && "$splice" -q --text ../text.jsonl.gz --contexts 2 --context 64) | grep -q '^ckpt_100.h5' ||
    complain "own text from inside a run failed"

# More is to be passed over than there is: refused. Another layer than the trained one: said.
"$splice" -q --skip 12 --contexts 4 --context 64 run_1 2>err.txt >/dev/null &&
    complain "passes over more than there is"
grep -q 'left after --skip 12' err.txt || complain "does not name --skip: $(cat err.txt)"
"$splice" -q --layer 1 --contexts 2 --context 64 run_1 2>err.txt >/dev/null || complain "--layer failed"
grep -qF "trained on 'blocks.3.hook_resid_post' and is measured on 'blocks.1.hook_resid_post'" err.txt ||
    complain "no word of another layer: $(cat err.txt)"

# The whole text was taken: said so. Nothing there any more: the option to use is named.
head -n 4 text.jsonl >few.jsonl
"$build/harvest/sae-harvest" -q --model model --layer 3 --text few.jsonl --context 64 -o few >/dev/null &&
    "$build/train/sae-train" -q --acts few --k 8 --m 64 --batch 64 --steps 4 --heldout-rows 64 -o run_few \
        >/dev/null || exit 1
"$splice" --contexts 4 --context 64 run_few 2>err.txt >/dev/null || complain "tail failed"
grep -q 'warning.*--text' err.txt || complain "no warning about the tail: $(cat err.txt)"
mv model elsewhere
"$splice" -q run_1 2>err.txt && complain "works without a model"
grep -q -e '--model DIR' err.txt || complain "does not name --model: $(cat err.txt)"
"$splice" -q --model elsewhere --contexts 2 --context 64 run_1 >/dev/null || complain "--model failed"
mv text.jsonl gone.jsonl
"$splice" -q --model elsewhere run_1 2>err.txt && complain "works without a text"
grep -q -e '--text FILE' err.txt || complain "does not name --text: $(cat err.txt)"
exit $bad
