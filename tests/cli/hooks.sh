#!/bin/sh
# Hooks from end to end: several in one harvest, stopped and continued; an SAE on each, spliced where it
# was trained, also after it went through SAELens's form; what does not belong together is refused.
# Usage: hooks.sh BUILD_ROOT SOURCE_ROOT
set -u
LC_ALL=C
export LC_ALL
build=$1 root=$2
harvest=$build/harvest/sae-harvest splice=$build/splice/sae-splice
bad=0
complain() {
    echo "$*"
    bad=1
}
# refused CODE WORDS command...
refused() {
    code=$1 words=$2
    shift 2
    "$@" >/dev/null 2>err.txt
    got=$?
    [ $got -eq "$code" ] || complain "exit $got, expected $code: $*: $(cat err.txt)"
    grep -qF -- "$words" err.txt || complain "does not say '$words': $*: $(cat err.txt)"
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cp -r "$root/data/tiny-g2" model
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    text=$(sed -n "$((i * 3 + 1)),$((i * 3 + 40))p" "$root/docs/MATH.md" | tr -d '\\"`' | tr '\n\t' '  ')
    printf '{"text": "%s"}\n' "$text"
done >text.jsonl
all=resid_pre,attn_z,attn_out,resid_mid,mlp_in,mlp_out,resid_post
at() { "$harvest" -q --model model --text text.jsonl --tokens 3000 --context 64 "$@"; }

# One pass, a store each, in a folder of the hook's name.
at --layer 3 --hook $all --json -o acts >out.json || exit 1
for hook in hook_resid_pre attn.hook_z hook_attn_out hook_resid_mid mlp.hook_in hook_mlp_out hook_resid_post; do
    name=blocks.3.$hook
    width=128
    [ $hook = attn.hook_z ] && width=192
    jq -e --arg hook $name --argjson d $width '.record.site.hook == $hook and .record.site.layer == 3 and
        .record.site.d == $d and .record.totals.rows == 3000' acts/$name/acts.json >/dev/null ||
        complain "site of $name: $(jq -c .record.site acts/$name/acts.json)"
    jq -e --arg hook $name '.stores[$hook].rows == 3000' out.json >/dev/null || complain "--json lacks $name"
done

# Sets at several hooks in one run of the model.
printf 'text,label\n' >set.csv
for i in $(seq 30); do printf 'red number %d,red\nblue number %d,blue\n' "$i" "$i"; done >>set.csv
"$harvest" -q --model model --layer 3 --hook mlp_out,attn_z --labels set.csv --words --max-words 80 --json \
    --context 64 -o sets >out.json || complain "sets at two hooks failed"
jq -e '(.labels | length) == 2 and .words["blocks.3.attn.hook_z"].words == 80' out.json >/dev/null ||
    complain "--json of sets: $(cat out.json)"
for hook in attn.hook_z hook_mlp_out; do
    [ -f sets/blocks.3.$hook/words.h5 ] && [ -f sets/blocks.3.$hook/labels_set.h5 ] || complain "no sets at $hook"
done

# Stopped and continued, every file is that of an unbroken pass.
at --layer 1,3 --hook mlp_out,blocks.2.hook_attn_out --shard-rows 500 -o whole >/dev/null || exit 1
at --layer 1,3 --hook mlp_out,blocks.2.hook_attn_out --shard-rows 500 -o broken >/dev/null 2>err.txt &
pid=$!
while kill -0 $pid 2>/dev/null && ! ls broken/*/acts_00001.h5 >/dev/null 2>&1; do sleep 0.01; done
kill -INT $pid 2>/dev/null
wait $pid
case $? in
130) grep -q 'and those of 2 more stores' err.txt || complain "does not say what is kept: $(cat err.txt)" ;;
0) ;; # it was faster than we were
*) complain "a stopped pass: $(cat err.txt)" ;;
esac
at --layer 1,3 --hook mlp_out,blocks.2.hook_attn_out --shard-rows 500 -o broken >/dev/null || complain "does not continue"
[ "$(ls whole | wc -l)" -eq 3 ] || complain "not three stores: $(ls whole)"
for file in whole/*/*; do
    cmp -s "$file" "broken/${file#whole/}" || complain "a continued pass differs in $file"
done
at --layer 1,3 --hook mlp_out,blocks.2.hook_attn_out --shard-rows 500 -o broken | grep -c 'complete before' |
    grep -q 3 || complain "complete stores are not known again"

# Names.
refused 2 'no hook has that name; expected resid_pre' at --layer 3 --hook mlp -o x
refused 2 'what the MLP reads, after them, is mlp_in' at --hook blocks.3.ln2.hook_normalized -o x
refused 2 'are one place' at --layer 3 --hook resid_post,blocks.4.hook_resid_pre -o x
refused 2 'of which layer?' at --hook mlp_out -o x
refused 2 'which names its layer' at --layer 3 --hook blocks.3.hook_mlp_out -o x
refused 2 'layer 6' at --layer 3,6 -o x
refused 2 'a folder holds one hook of one layer' at --layer 3 --hook attn_out -o acts/blocks.3.hook_mlp_out
refused 2 "is of 'blocks.3.hook_mlp_out'" "$harvest" --like acts/blocks.3.hook_mlp_out --hook attn_out --words
refused 2 'no resid_mid' "$harvest" --model "$root/tests/golden/lm/gpt_neox" --layer 1 --hook resid_mid \
    --text text.jsonl -o x
[ -e x ] && complain "a harvest that was refused left a folder"

# An SAE on each; spliced where it was trained, and again from what was kept.
for store in acts/*; do
    hook=${store#acts/blocks.3.}
    "$build/train/sae-train" -q --acts "$store" --k 8 --m 64 --batch 64 --steps 60 --heldout-rows 256 \
        -o "run_$hook" >/dev/null || exit 1
done
"$splice" -q --contexts 4 --context 64 run_* >out.txt 2>err.txt || complain "splice failed: $(cat err.txt)"
numbers() { jq -c '.eval_result_metrics' "$1"; }
for run in run_*; do
    result=$run/ckpt_100.core.json
    jq -e --arg hook "blocks.3.${run#run_}" '.sae_cfg_dict.hook_name == $hook' "$result" >/dev/null ||
        complain "$run: hook_name $(jq .sae_cfg_dict.hook_name "$result")"
    jq -e '.eval_result_metrics.model_behavior_preservation |
        .kl_div_with_sae > 0 and .kl_div_with_sae < .kl_div_with_ablation' \
        "$result" >/dev/null || complain "$run: $(numbers "$result")"
    numbers "$result" >a.txt
    "$splice" -q --contexts 4 --context 64 "$run" >/dev/null
    numbers "$result" | cmp -s - a.txt || complain "$run: other numbers from the cache"
    "$splice" -q --no-keep --contexts 4 --context 64 "$run" >/dev/null
    numbers "$result" | cmp -s - a.txt || complain "$run: other numbers without the cache"
done
clean() { jq .eval_result_metrics.model_performance_preservation.ce_loss_without_sae run_"$1"/ckpt_100.core.json; }
[ "$(clean hook_mlp_out)" = "$(clean attn.hook_z)" ] || complain "the untouched model is not one"

# Through SAELens's form, whose cfg.json names the hook.
"$build/convert/sae-convert" -q --to saelens run_attn.hook_z/ckpt_100.h5 -o lens/z >/dev/null || exit 1
jq -e '.metadata.hook_name == "blocks.3.attn.hook_z"' lens/z/cfg.json >/dev/null || complain "cfg.json: $(cat lens/z/cfg.json)"
"$splice" -q --model model --text text.jsonl --skip 0 --contexts 4 --context 64 -o there lens/z >/dev/null 2>err.txt ||
    complain "SAELens's form: $(cat err.txt)"
"$splice" -q --model model --text text.jsonl --skip 0 --contexts 4 --context 64 run_attn.hook_z >/dev/null
numbers run_attn.hook_z/ckpt_100.core.json >a.txt
numbers "$(find there -name '*.json')" | cmp -s - a.txt || complain "SAELens's form gives other numbers"

# What does not belong together.
refused 2 "it holds 'blocks.3.hook_resid_post', but" "$build/probe/sae-probe" -q --k 1 \
    --acts acts/blocks.3.hook_resid_post run_hook_mlp_out
refused 2 'no hook has that name' "$splice" -q --hook attn.hook_q run_hook_mlp_out
refused 2 'width 192' "$splice" -q --hook mlp_out --contexts 2 --context 64 run_attn.hook_z
jq '.metadata.hook_name = "blocks.3.attn.hook_q"' lens/z/cfg.json >y && mv y lens/z/cfg.json
refused 2 "'blocks.3.attn.hook_q', which is no hook" "$splice" -q --model model --text text.jsonl lens/z
exit $bad
