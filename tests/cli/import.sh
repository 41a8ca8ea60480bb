#!/bin/sh
# SPDX-License-Identifier: MIT
# Stores from arrays of other programs: import, export, and what sae-train and the evaluations make of them.
# Usage: import.sh BUILD_ROOT SOURCE_ROOT
set -u
for tool in jq h5diff; do
    command -v $tool >/dev/null || { echo "$tool is not there (jq, hdf5-tools)"; exit 77; }
done
build=$1 root=$2
export LC_ALL=C OMP_WAIT_POLICY=passive
harvest="$build/harvest/sae-harvest -q" convert="$build/convert/sae-convert -q"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0
complain() { echo "$*"; bad=1; }
. "$root/tests/cli/refused.sh"
npy() { # DESCR SHAPE: a .npy whose data is the standard input
    head="{'descr': $1, 'fortran_order': False, 'shape': $2, }"
    printf "\223NUMPY\001\000\\$(printf %03o $((${#head} + 1)))\000%s\n" "$head"
    cat
}

# --- there and back ---
"$build/tests/unit/fixtures/make_store" acts 3000 16 1 ortho 4 >/dev/null || exit 1
$convert --export-acts acts -o x.npy >/dev/null || complain "no x.npy"
$convert --export-acts acts -o x.safetensors >out || complain "no x.safetensors"
grep -q '^acts (3000 rows of width 16) -> x.safetensors$' out || complain "it says $(cat out)"
columns="--token-array token --document-array document --position-array position"
rows=$(jq '.shards[0].rows' acts/acts.json)
$harvest --import x.npy --shard-rows "$rows" -o plain >/dev/null || complain "x.npy is not read"
$harvest --import x.safetensors $columns --shard-rows "$rows" -o full >/dev/null ||
    complain "x.safetensors is not read"
[ "$(jq '.shards | length' acts/acts.json)" = "$(jq '.shards | length' full/acts.json)" ] ||
    complain "another number of shards"
for shard in acts/acts_*.h5; do
    shard=${shard#acts/}
    h5diff "acts/$shard" "plain/$shard" /rows || complain "plain: other rows in $shard"
    for set in rows token document position; do
        h5diff "acts/$shard" "full/$shard" /$set || complain "full: $shard, $set differ"
    done
done
$convert --export-acts full -o y.safetensors >/dev/null
$convert --export-acts plain -o y.npy >/dev/null
cmp x.npy y.npy || complain "x.npy did not come back"
# all but the header, which names the store
cmp -i $((8 + $(od -An -tu8 -N8 x.safetensors))) x.safetensors y.safetensors ||
    complain "x.safetensors did not come back"
refused 2 "is there already" $convert --export-acts acts -o x.npy
refused 2 "goes to FILE.npy or FILE.safetensors" $convert --export-acts acts -o x.h5

# --- the record ---
$harvest --import x.npy y.npy --model-name other --layer 6 --hook mlp_out -o two >out
grep -q '^  rows        6000 of width 16, rounded to bf16, in 1 shard$' out || complain "$(cat out)"
jq -e '.record.site == {"model": "other", "layer": 6, "hook": "mlp_out", "d": 16}' two/acts.json \
    >/dev/null || complain "two: site"
jq -e '.record.inputs | length == 2 and .[1].path == "y.npy" and .[1].shape == [3000, 16]
    and .[1].type == "F32" and .[1].role == "import"' two/acts.json >/dev/null || complain "two: inputs"
[ "$(jq -r '.record.inputs[0].id' two/acts.json)" = "$(sha256sum <x.npy | cut -d' ' -f1)" ] ||
    complain "two: hash"
jq -e '.record.site == {"model": null, "layer": null, "hook": null, "d": 16}' plain/acts.json \
    >/dev/null || complain "plain: site"
$harvest --import x.npy y.npy --model-name other --layer 6 --hook mlp_out -o two | grep -q 'complete before' ||
    complain "two is made again"
refused 2 'options.layer' $harvest --import x.npy y.npy --model-name other --layer 7 --hook mlp_out -o two

# --- an import that is stopped continues ---
$harvest --import x.npy y.npy --shard-rows 500 -o whole >/dev/null
cp -r whole cut && rm cut/acts.json cut/acts_00009.h5 cut/acts_00010.h5 cut/acts_00011.h5
$harvest --import x.npy y.npy --shard-rows 500 -o cut >/dev/null || complain "cut: not continued"
diff -r whole cut || complain "cut: other bytes"

# --- training and what follows ---
"$build/train/sae-train" -q --acts plain --verify --m 32 --k 4 --batch 64 --heldout-rows 256 --steps 20 \
    -o run >/dev/null || complain "not trained"
"$build/train/sae-train" -q --acts acts --m 32 --k 4 --batch 64 --heldout-rows 256 --steps 20 \
    -o run_text >/dev/null || complain "not trained"
for set in W_enc W_dec b_enc b_dec; do
    h5diff run/ckpt_100.h5 run_text/ckpt_100.h5 /$set /$set || complain "trained otherwise: $set"
done
err=$("$build/analyze/sae-analyze" --no-charts run 2>&1 >/dev/null) || complain "not analyzed: $err"
case "$err" in *"cannot tell"*) complain "the store is not known again: $err" ;; esac
imported="was trained on an imported store"
refused 1 "$imported" "$build/probe/sae-probe" run
refused 1 "$imported" "$build/absorb/sae-absorb" run
refused 1 "$imported" "$build/ablate/sae-ablate" run
refused 2 "$imported" "$build/splice/sae-splice" run
refused 2 "$imported" "$build/autointerp/sae-autointerp" --dry-run run
mkdir -p task/forget task/retain
echo '{"text": "one"}' | tee task/forget.jsonl >task/retain.jsonl
echo '{"question": "one", "choices": ["a", "b"], "answer": 0}' |
    tee task/forget/q.jsonl >task/retain/r.jsonl
refused 2 "$imported" "$build/unlearn/sae-unlearn" --task task run
refused 2 "was imported" $harvest --like plain --words

# --- latents ---
$convert run --export-latents plain -o z.safetensors >out || complain "no latents"
grep -q '^plain, latents of run/ckpt_100.h5 (3000 rows of 32 latents, 4.0 active) -> z.safetensors$' out ||
    complain "it says $(cat out)"
$convert run --export-latents acts -o z.npy >/dev/null || complain "no dense latents"
[ "$(wc -c <z.npy)" = $((128 + 3000 * 32 * 4)) ] || complain "z.npy has $(wc -c <z.npy) bytes"
refused 2 "is there already" $convert run --export-latents acts -o z.npy
refused 2 "latents go to FILE.safetensors (sparse) or FILE.npy (dense)" \
    $convert run --export-latents acts -o z.h5
refused 2 "leave --to out" $convert run --export-latents acts --to npz -o zz.npy
refused 2 "leave --export-acts out" $convert --export-acts acts --export-latents acts -o zz.npy
head -c 4096 /dev/zero | npy "'<f4'" '(128, 8)' >thin.npy
$harvest --import thin.npy -o thin >/dev/null
refused 2 "'thin' has rows of width 8, but 'run/ckpt_100.h5' takes 16" \
    $convert run --export-latents thin -o zz.npy
$harvest --import x.npy --layer 6 -o six >/dev/null
"$build/train/sae-train" -q --acts six --m 32 --k 4 --batch 64 --heldout-rows 256 --steps 2 -o run_six >/dev/null
$harvest --import x.npy --layer 7 -o seven >/dev/null
refused 2 "'seven' is of layer 7, but 'run_six/ckpt_100.h5' was trained on layer 6" \
    $convert run_six --export-latents seven -o zz.npy
ls zz* *.part 2>/dev/null && complain "what failed left a file"

# --- what is refused ---
echo 'plain text' >prose.txt
head -c 4096 /dev/zero | npy "'<f4'" '(64, 16)' >zeros.npy
head -c 4096 /dev/zero | npy "'<f4'" '(128, 8)' >narrow.npy
{ head -c 1032 /dev/zero; printf '\000\000\300\177'; head -c 3060 /dev/zero; } | npy "'<f4'" '(64, 16)' >nan.npy
{ head -c 1032 /dev/zero; printf '\377\377\177\177'; head -c 3060 /dev/zero; } | npy "'<f4'" '(64, 16)' >big.npy
npy "'<f4'" '(0, 16)' </dev/null >none.npy
head -c 8388608 /dev/zero | npy "'<f4'" '(1, 2097152)' >wide.npy
refused 1 "'narrow.npy' has rows of width 8, but 'zeros.npy' of 16" \
    $harvest --import zeros.npy narrow.npy -o no
refused 1 "'nan.npy' row 16, column 2: not a number" $harvest --import zeros.npy nan.npy -o no
refused 1 "'big.npy' row 16, column 2: infinite or beyond the range of bf16" \
    $harvest --import big.npy -o no
# What fails in the middle of a file is in nobody's way when the file is mended.
{ head -c 200000 /dev/zero; printf '\000\000\300\177'; head -c 55996 /dev/zero; } |
    npy "'<f4'" '(4000, 16)' >late.npy
mkdir late && echo keep >late/notes
refused 1 "'late.npy' row 3125, column 0: not a number" $harvest --import late.npy --shard-rows 1000 -o late
[ "$(ls late)" = notes ] || complain "a failed import left $(ls late)"
head -c 256000 /dev/zero | npy "'<f4'" '(4000, 16)' >late.npy
$harvest --import late.npy --shard-rows 1000 -o late >/dev/null || complain "the mended file is refused"
refused 1 "it is empty" $harvest --import none.npy -o no
head -c 2048 /dev/zero | npy "'|O'" '(16, 16)' >objects.npy
refused 1 "'objects.npy': elements of type '|O' are Python objects" $harvest --import objects.npy -o no
head -c 2048 /dev/zero | npy "'>f4'" '(16, 16)' >swapped.npy
refused 1 "'swapped.npy': elements of type '>f4'; little-endian" $harvest --import swapped.npy -o no
refused 1 "is it transposed?" $harvest --import wide.npy -o no
refused 1 "cannot read 'lost.npy'" $harvest --import lost.npy -o no
refused 1 "of no known kind" $harvest --import prose.txt -o no
refused 1 "rows has shape [3000, 16], expected [rows]" \
    $harvest --import x.safetensors --token-array rows -o no
refused 2 "no meaning with --import" $harvest --import x.npy --text prose.txt -o no
refused 2 "no meaning with --import" $harvest --import x.npy --model "$root/data/tiny-g2" -o no
refused 2 "no meaning without --import" $harvest --text prose.txt --array x -o no
refused 2 "holds 'acts_00000.h5' of the store" $harvest --import plain/acts_00000.h5 --force -o plain
[ ! -e no ] || complain "what failed left a folder: $(ls no)"
exit $bad
