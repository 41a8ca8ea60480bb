#!/bin/sh
# sae-ablate as a person types it: labelled texts of two attributes, harvested from the embedded
# model. Usage: ablate.sh BUILD_ROOT SOURCE_ROOT
set -u
build=$1 root=$2
ablate=$build/ablate/sae-ablate
bad=0
complain() { echo "$*"; bad=1; }
refused() {
    want=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt
    got=$?
    [ "$got" -eq "$want" ] || complain "status $got, not $want: $*: $(cat err.txt)"
    grep -q -e "$words" err.txt || complain "does not say '$words': $(cat err.txt)"
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Class: which animal; attribute: scripture or manual. And a set without attribute.
{
    echo text,label,attribute
    for i in $(seq 40); do
        for animal in cat dog; do
            echo "\"And the LORD said unto the $animal number $i, Go forth.\",$animal,scripture"
            echo "The function returns $animal number $i of the table.,$animal,manual"
        done
    done
} >animal.csv
sed 's/,[a-z]*$//' animal.csv >plain.csv
for i in $(seq 60); do
    printf '{"text": "And the king said unto dog %d; the value of cat %d is the default."}\n' "$i" "$i"
done >text.jsonl
harvest="$build/harvest/sae-harvest -q --model $root/data/tiny-g2 --layer 3 --context 32 -o acts"
$harvest --text text.jsonl --tokens 1000 >/dev/null 2>&1 || exit 1
$harvest --labels animal.csv >/dev/null || complain "harvest with an attribute failed"
"$build/train/sae-train" -q --acts acts --k 8 --m 64 --batch 64 --steps 40 --heldout-rows 128 \
    -o run_1 >/dev/null || exit 1

small="--n 2,5 --seeds 1,2 --epochs 4"
"$ablate" $small run_1 >out.txt 2>err.txt || complain "plain call failed: $(cat err.txt)"
grep -q 'spurious correlation removed (SCR)' out.txt || complain "no SCR: $(cat out.txt)"
grep -q 'animal cat_dog ' out.txt || complain "no pair: $(cat out.txt)"
grep -q 'targeted probe perturbation (TPP)' out.txt || complain "no TPP: $(cat out.txt)"
grep -q 'with caution' out.txt || complain "no caution"
grep -q '"eval_type_id": "scr"' run_1/ckpt_100.scr.json || complain "no scr.json"
grep -q '"dataset_name": "animal_scr_cat_dog_results"' run_1/ckpt_100.scr.json || complain "no row of the pair"
grep -q '"scr_metric_threshold_500": null' run_1/ckpt_100.scr.json || complain "fields not run are not null"
grep -q '"tpp_threshold_2_total_metric": [-0-9]' run_1/ckpt_100.tpp.json || complain "no TPP score"
grep -q 'reliability.*doubtful' run_1/ckpt_100.tpp.json || complain "doubts are not in the result"
cp run_1/ckpt_100.scr.json first.json
"$ablate" -q --threads 1 $small run_1 >/dev/null || complain "one thread failed"
sed '/"options"/,$d' first.json >a.txt
sed '/"options"/,$d' run_1/ckpt_100.scr.json | cmp -s - a.txt || complain "equal calls differ"

# Pairs by name; a set that has no attribute gives TPP alone.
"$ablate" -q $small --no-tpp --pairs dog:cat run_1 | grep -q 'animal dog_cat' || complain "--pairs failed"
refused 1 'no pair of classes' "$ablate" -q $small --pairs cow:pig run_1
refused 2 'expected CLASS:CLASS' "$ablate" -q $small --pairs cat run_1
rm acts/labels_animal.h5
$harvest --labels plain.csv >/dev/null || complain "harvest without attribute failed"
"$ablate" $small run_1 >out.txt 2>err.txt || complain "set without attribute failed: $(cat err.txt)"
grep -q 'no SCR' err.txt || complain "does not say why there is no SCR: $(cat err.txt)"
refused 2 'attribute-column' "$ablate" -q $small --scr run_1
refused 2 'nothing to do' "$ablate" -q --no-scr --no-tpp run_1
"$build/tests/unit/fixtures/make_ckpt" odd.h5 d=32 >/dev/null || complain "no odd checkpoint"
refused 2 'width 128' "$ablate" -q $small --labels acts/labels_plain.h5 odd.h5
exit $bad
