#!/bin/sh
# sae-convert, and evaluations of SAEs from elsewhere, as a person types them.
# Usage: convert.sh BUILD_ROOT SOURCE_ROOT EVAL_MAKE
set -u
for tool in jq h5dump h5diff; do
    command -v $tool >/dev/null || { echo "$tool is not there (jq, hdf5-tools)"; exit 77; }
done
build=$(realpath "$1") golden=$(realpath "$2")/tests/golden make=$(realpath "$3")
convert=$build/convert/sae-convert probe=$build/probe/sae-probe absorb=$build/absorb/sae-absorb
analyze=$build/analyze/sae-analyze
bad=0
complain() { echo "$*"; bad=1; }
refused() { # STATUS TEXT COMMAND...
    want=$1 text=$2
    shift 2
    out=$("$@" 2>&1) && complain "not refused: $*"
    [ "$("$@" >/dev/null 2>&1; echo $?)" = "$want" ] || complain "status is not $want: $*"
    case "$out" in *"$text"*) ;; *) complain "'$*' does not say '$text': $out" ;; esac
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$make" "$dir" || exit 1
cd "$dir" || exit 1

# The bytes that the packages themselves were seen to read (tests/golden/sae_written.py).
while read -r sum file; do
    name=${file%%/*}
    case "$name" in
    *.saelens) to=saelens stem=${name%.saelens} ;;
    *.dictionary_learning) to=dictionary_learning stem=${name%.dictionary_learning} ;;
    *) to=npz stem=${name%.npz.npz} ;;
    esac
    sae=$(printf '%s' "$stem" | sed 's#_\(sae_weights.safetensors\|ae.pt\|params.npz\|packed.npz\)$#/\1#')
    [ -e "out/$name" ] || { mkdir -p out && "$convert" -q --to "$to" "$golden/sae/$sae" -o "out/$name" \
        >/dev/null 2>err.txt || complain "$sae to $to: $(cat err.txt)"; }
    [ "$(sha256sum <"out/$file")" = "$sum  -" ] || complain "other bytes than were checked: $file"
done <"$golden/sae_written.sha256"

# There and back: every array of a checkpoint is the same to the bit.
arrays="W_enc W_dec b_enc b_dec threshold b_gate b_mag r_mag"
for sae in lens_gated lens_layer_norm lens_standard_raw dict_topk lens_batchtopk lens_constant_norm; do
    "$convert" -q "$golden/sae/$sae" -o a.h5 --force >/dev/null 2>&1 || complain "$sae: no checkpoint"
    for to in saelens dictionary_learning; do
        rm -rf b && "$convert" -q a.h5 --to $to -o b >/dev/null 2>err.txt
        [ $? = 0 ] || { grep -q 'cannot say' err.txt || complain "$sae to $to: $(cat err.txt)"; continue; }
        "$convert" -q b -o b.h5 --force >/dev/null || complain "$sae: $to is not read"
        for array in $arrays; do
            h5dump -H -d "/$array" a.h5 >/dev/null 2>&1 || continue
            h5diff a.h5 b.h5 "/$array" "/$array" || complain "$sae: $array differs after $to"
        done
    done
done

# The threshold that dictionary_learning keeps beside k goes with the SAE, though k decides.
mkdir cut && cp "$golden/sae/dict_batchtopk/ae.pt" cut &&
    sed 's/BatchTopKSAE/AutoEncoderTopK/' "$golden/sae/dict_batchtopk/config.json" >cut/config.json
kept() { h5dump -a /topk_threshold "$1" 2>/dev/null | sed -n 's/.*(0): //p'; }
"$convert" -q cut -o cut.h5 >/dev/null 2>&1 || complain "cut failed"
"$convert" -q cut.h5 --to dictionary_learning -o uncut >/dev/null 2>&1 || complain "cut to dictionary_learning"
"$convert" -q uncut -o uncut.h5 >/dev/null 2>&1 || complain "uncut failed"
[ "$(kept cut.h5)" = 0.3 ] && [ "$(kept uncut.h5)" = 0.3 ] || complain "topk_threshold is $(kept uncut.h5)"
[ -z "$(kept a.h5)" ] || complain "a threshold from nowhere"

# An SAE from elsewhere is probed and tested like the checkpoint it was made from.
"$convert" -q run_1/ckpt_100.h5 -o lens >lens.txt || complain "run_1 to SAELens failed"
grep -q '^run_1/ckpt_100.h5 (standard.*-> lens (saelens)$' lens.txt || complain "says: $(cat lens.txt)"
"$convert" -q run_1/ckpt_100.h5 --to dictionary_learning -o dict >/dev/null || complain "no ae.pt"
"$convert" -q run_1/ckpt_100.h5 -o scope.npz >/dev/null || complain "no npz"
values() { jq -c '[.eval_result_metrics, .eval_result_details]' "$1"; }
"$probe" -q --k 1,2 run_1 >/dev/null
"$absorb" -q run_1 >/dev/null
for sae in lens/sae_weights.safetensors dict/ae.pt; do
    stem=${sae%.*}
    "$probe" -q --k 1,2 --acts acts "${sae%/*}" >/dev/null 2>err.txt || complain "probe $sae: $(cat err.txt)"
    [ "$(values "$stem.probe.json")" = "$(values run_1/ckpt_100.probe.json)" ] ||
        complain "$sae is probed differently from run_1"
    "$absorb" -q --acts acts "$sae" >/dev/null 2>err.txt || complain "absorb $sae: $(cat err.txt)"
    [ "$(values "$stem.absorb.json")" = "$(values run_1/ckpt_100.absorb.json)" ] ||
        complain "$sae is tested for absorption differently from run_1"
    jq -e '.saekit.record.inputs[] | select(.role == "checkpoint") | .record.imported |
        (.files | length == 2) and .files[0].sha256 != null' "$stem.probe.json" >/dev/null ||
        complain "the result does not name the files of $sae by hash"
done
"$probe" -q --k 1 --acts acts scope.npz 2>err.txt >/dev/null || complain "probe npz: $(cat err.txt)"
grep -q 'one of them does not say' err.txt || complain "no warning that an npz tells no layer"

mkdir -p scope/layer_12/width_16k/average_l0_7 && cp scope.npz scope/layer_12/width_16k/average_l0_7/params.npz
refused 2 "trained on layer 12" "$probe" --acts acts scope/layer_12/width_16k/average_l0_7

# Results in SAEBench's layout; an SAE alone in its folder goes by the folder's name.
"$probe" -q --k 1 --acts acts -o bench lens run_1 >/dev/null || complain "-o DIR failed"
for release in lens run_1_ckpt_100; do
    [ -f "bench/sparse_probing/${release}_custom_sae_eval_results.json" ] || complain "no $release: $(ls bench/*)"
done
# Two SAEs of one name: told apart by the folders above; the result of another is not replaced.
mkdir -p p/blocks.3.hook_resid_post q/blocks.3.hook_resid_post z/same w/same
for to in p/blocks.3.hook_resid_post q/blocks.3.hook_resid_post; do cp lens/* $to; done
cp lens/* z/same && "$convert" -q --to dictionary_learning run_1 -o w/same --force >/dev/null
"$probe" -q --k 1 --acts acts -o two p/blocks.3.hook_resid_post q/blocks.3.hook_resid_post z/same w/same \
    >/dev/null 2>err.txt || complain "four SAEs: $(cat err.txt)"
for release in p_blocks.3.hook_resid_post q_blocks.3.hook_resid_post z_same w_same; do
    [ -f "two/sparse_probing/${release}_custom_sae_eval_results.json" ] || complain "no $release: $(ls two/*)"
done
"$probe" -q --k 1 --acts acts -o two z/same >/dev/null || complain "-o two z/same failed"
"$probe" -q --k 1 --acts acts -o two z/same >/dev/null || complain "its own result is not replaced"
cp two/sparse_probing/same_custom_sae_eval_results.json kept.json
refused 2 "is the result of another SAE (same/" "$probe" -q --k 1 --acts acts -o two w/same
cmp -s kept.json two/sparse_probing/same_custom_sae_eval_results.json || complain "another SAE's result was replaced"
"$probe" -q --k 1 --acts acts -o two --force w/same >/dev/null || complain "--force does not replace"
cmp -s kept.json two/sparse_probing/same_custom_sae_eval_results.json && complain "--force replaces nothing"

"$probe" -q --k 1 -o one.json run_1 >/dev/null && [ -f one.json ] || complain "-o FILE.json failed"
refused 2 "2 results and one file" "$probe" --k 1 --acts acts -o one.json lens run_1

# Where the data are not known, or are another's.
refused 1 "name one with --acts DIR" "$probe" lens
jq '.metadata.hook_name = "blocks.7.hook_resid_post"' lens/cfg.json >x && mv x lens/cfg.json
refused 2 "trained on layer 7" "$probe" --acts acts lens
jq '.metadata.hook_name = "blocks.7.hook_mlp_out"' lens/cfg.json >x && mv x lens/cfg.json
refused 2 "trained on 'blocks.7.hook_mlp_out'" "$probe" --acts acts lens
jq '.metadata.hook_name = null | .metadata.model_name = "gpt2"' lens/cfg.json >x && mv x lens/cfg.json
"$probe" -q --k 1 --acts acts lens 2>err.txt >/dev/null
grep -q "of model 'gpt2'" err.txt || complain "another model's name goes unnoticed: $(cat err.txt)"
refused 2 "width" "$probe" --acts acts "$golden/sae/dict_new"

# sae-analyze: directions at once, overlaps on a store.
"$analyze" -q --no-charts dict >analyze.txt 2>err.txt || complain "analyze failed: $(cat err.txt)"
grep -q '^dict/ae.pt: standard.*, from dictionary_learning$' analyze.txt || complain "$(head -1 analyze.txt)"
grep -q 'overlaps are left out' err.txt || complain "missing masks go unnoticed"

# Hostile and damaged files: one line, status 1, nothing run.
refused 1 "names 'posix.system'" "$convert" "$golden/sae/evil/system.pt" -o x.h5
[ -e saekit-was-here ] && complain "a pickle was run"
head -c 700 "$golden/sae/npz/params.npz" >cut.npz
refused 1 "cut or not a zip archive" "$convert" cut.npz -o x.h5
[ -e x.h5 ] && complain "a refused file left a checkpoint"
refused 2 "is there already" "$convert" run_1 -o lens
refused 2 "jumprelu, batchtopk and standard only" "$convert" "$golden/sae/dict_topk" -o y.npz
refused 2 "the form of saelens is a folder" "$convert" run_1 -o y.safetensors
refused 2 "the form of dictionary_learning is a folder" "$convert" run_1 --to dictionary_learning -o y.pt
[ -e y.pt ] || [ -e y.safetensors ] && complain "a file's name became a folder's"
refused 2 "name what to write" "$convert" run_1
exit $bad
