#!/bin/sh
# SPDX-License-Identifier: MIT
# Activations that PyTorch saved (tests/golden/acts_neox.py): what torch.save is given, and the way from a
# model of Pythia's family to a probe. Usage: pytorch.sh BUILD_ROOT SOURCE_ROOT
set -u
for tool in jq h5diff h5dump; do
    command -v $tool >/dev/null || { echo "$tool is not there (jq, hdf5-tools)"; exit 77; }
done
build=$1 files=$2/tests/golden/acts tok=$2/tests/golden/lm_tok/neox.json
export LC_ALL=C OMP_WAIT_POLICY=passive
harvest="$build/harvest/sae-harvest -q"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0
complain() { echo "$*"; bad=1; }
refused() { # TEXT COMMAND...
    text=$1
    shift
    out=$("$@" 2>&1 >/dev/null) && complain "not refused: $*"
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || complain "more than one line: $out"
    case "$out" in *"$text"*) ;; *) complain "'$*' does not say '$text': $out" ;; esac
}

# --- a tensor, a dict of one, bf16, f16, f32, a view ---
for kind in bf16 f16 f32; do
    for form in bare dict; do
        $harvest --import "$files/${form}_$kind.pt" -o ${form}_$kind >/dev/null ||
            complain "${form}_$kind.pt is refused"
        jq -e ".record.inputs[0] | .kind == \"torch\" and .shape == [20, 32]
            and .type == (\"$kind\" | ascii_upcase)" ${form}_$kind/acts.json >/dev/null ||
            complain "${form}_$kind: $(jq -c '.record.inputs' ${form}_$kind/acts.json)"
    done
    h5diff bare_$kind/acts_00000.h5 dict_$kind/acts_00000.h5 /rows || complain "$kind: two stores of one tensor"
done
h5diff bare_f32/acts_00000.h5 bare_bf16/acts_00000.h5 /rows || complain "bf16 is not f32 rounded"
h5diff -p 0.008 bare_f16/acts_00000.h5 bare_bf16/acts_00000.h5 /rows || complain "f16 is another tensor"
$harvest --import "$files/view.pt" -o view --json | jq -e '.store.rows == 10' >/dev/null || complain "view.pt"
refused "holds I64, expected F32, F16, BF16 or F64" $harvest --import "$files/whole.pt" -o no
refused "is not stored row by row" $harvest --import "$files/turned.pt" -o no
refused "holds no dict of tensors" $harvest --import "$files/list.pt" -o no

# --- from PyTorch's activations to a probe, as docs/FORMATS.md has it ---
$harvest --import "$files/neox.pt" --token-array token --model-name neox --layer 0 -o acts >/dev/null ||
    complain "neox.pt is refused"
"$build/train/sae-train" -q --acts acts --m 64 --k 8 --batch 64 --heldout-rows 128 --steps 60 -o run >/dev/null ||
    complain "not trained"
"$build/analyze/sae-analyze" -q --no-charts run >/dev/null || complain "not analyzed"
mkdir neox && cp "$files"/neox/* neox && cp "$tok" neox/tokenizer.json
i=0
while [ $i -lt 60 ]; do
    echo "the people of the city went down to the river in the year $i,river"
    echo "number $i is a word of the language,language"
    i=$((i + 1))
done | sed '1i text,label' >topic.csv
$harvest --model neox --layer 0 --context 48 --labels topic.csv -o sets >/dev/null || complain "no labelled set"
"$build/probe/sae-probe" run --labels sets/labels_topic.h5 --json >probe.json || complain "not probed"
[ -s probe.json ] && [ -e run/ckpt_100.probe.json ] || complain "no result of the probe: $(ls run)"

# --- saekit's own activations of that model are PyTorch's ---
{
    printf '{"input_ids": ['
    h5dump -y -w 1 -d /token acts/acts_00000.h5 | sed -n 's/^ *\([0-9][0-9]*\),*$/\1/p' | paste -s -d ,
    printf ']}\n'
} | tr -d '\n' >ids.jsonl
$harvest --model neox --layer 0 --text ids.jsonl --field input_ids --context 48 -o own >/dev/null ||
    complain "the model is refused"
h5diff own/acts_00000.h5 acts/acts_00000.h5 /token || complain "other tokens"
h5diff -d 0.05 own/acts_00000.h5 acts/acts_00000.h5 /rows >diff || complain "other rows: $(tail -3 diff)"
[ ! -e no ] || complain "what failed left a folder: $(ls no)"
[ $bad = 0 ] && echo "ok: activations of PyTorch"
exit $bad
