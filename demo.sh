#!/bin/sh
# The whole study in small: harvest, train, analyze, splice, probe, absorb, ablate, unlearn, report, on the
# texts of data/corpora/texts.
#
#   ./demo.sh                     on the language model that ships in data/tiny-g2: nine runs, about ten
#                                 minutes of computing on two cores
#   ./demo.sh --model MODEL       on a language model of yours, a folder or a GGUF file: six runs, every
#                                 evaluation at 25, 50, 75 and 100 % of them; data/models brings a model,
#                                 docs/SMOLLM2.md says what came out and what it took
#       --layer L                 layer to look at (default: the middle one)
#       --tokens N                activations to harvest, such as 1M; the words and labelled texts follow
#                                 (default: 250k)
#       --steps N                 updates of a training, of 512 tokens each (default: each activation once)
#       --seeds LIST              seeds of each setting (default: 1,2)
#   ./demo.sh --quick             with or without --model: less of everything, to see each program at work;
#                                 its numbers say little
#
# Everything it makes is in ./demo, with --model in ./demo-NAME; run it again and that is made anew.
# shellcheck disable=SC2086 # options in variables without quotes are several words
set -eu
cd "$(dirname "$0")"
root=$PWD
usage() { sed -n '2,/^# shell/s/^# \{0,1\}//p' "$0" | sed '$d' >&2; }
wrong() { echo "demo.sh: $*" >&2; exit 2; }

model='' layer='' tokens='' steps='' seeds='' quick=''
while [ $# -gt 0 ]; do
    case "$1" in
    --quick) quick=1 ;;
    --model | --layer | --tokens | --steps | --seeds)
        [ $# -gt 1 ] || wrong "$1 takes a value; ./demo.sh --help shows all"
        eval "${1#--}=\$2"
        shift
        ;;
    --help | -h) usage 2>&1; exit 0 ;;
    *) echo "demo.sh: found '$1', which is no option" >&2; usage; exit 2 ;;
    esac
    shift
done
[ -n "$model" ] || [ -z "$layer$tokens$steps$seeds" ] ||
    wrong "--layer, --tokens, --steps and --seeds go with --model; the shipped model's are fixed"
[ -z "$model" ] || [ -e "$model" ] || wrong "there is no '$model'; --model takes a folder or a GGUF file"

began=$(date +%s)
step() { printf '\n== %s  (%d s)\n' "$*" "$(($(date +%s) - began))"; }
# Shows a command as one would type it, then runs it.
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}
# Likewise, with its tables in a file.
into() {
    file=$1
    shift
    printf '\n$ %s > %s\n' "$*" "$file"
    "$@" >"$file"
}

step "packages"
./packages.sh demo

step "build"
[ -f build/build.ninja ] || scripts/follow.sh build/demo.log meson setup build --buildtype=release
scripts/follow.sh build/demo.log ninja -C build programs
for main in */main.c; do
    PATH="$root/build/${main%/*}:$PATH"
done
export PATH

# The sizes. Of a model of one's own they follow from what it is; of a stream of width d, 4 d latents.
if [ -z "$model" ]; then
    out=demo model=../data/tiny-g2 layer=3 m=2048 seeds=1,2,3 points=0,25,50,75,100 all=''
    labels='' words='' contexts=64 # words, labels: all that there are
    forget="--thresholds 0.001 --multipliers 10,25" # a fourth of the grid; these suit a stream of norm 20
    tokens=1M
    [ -z "$quick" ] || tokens=100k words='--max-words 800' m=512 seeds=1,2
else
    about=$(sae-harvest --model "$model" --describe --json)
    of_model() { printf '%s\n' "$about" | sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p"; }
    out=demo-$(of_model name | tr -c 'A-Za-z0-9._\n-' _)
    layer=${layer:-$(of_model middle_layer)}
    m=$((4 * $(of_model width))) seeds=${seeds:-1,2} points=25,50,75,100 all=--all contexts=32
    [ -z "$quick" ] || tokens=20k m=$((m / 2)) contexts=8
    tokens=${tokens:-250k}
    number=$(echo "$tokens" | sed 's/[kK]$/000/; s/[mM]$/000000/')
    case "$number" in '' | *[!0-9]*) wrong "--tokens $tokens: expected a number such as 250k" ;; esac
    words="--max-words $((number / 100))" # a prompt has about a hundred tokens
    labels="--max-train-per-class $((number / 2500)) --max-test-per-class $((number / 6250 + 5))"
    case "$model" in /*) ;; *) model=../$model ;; esac
fi
[ -z "$steps" ] || steps="--steps $steps"

rm -rf "./$out"
mkdir "$out"
cd "$out"
texts=../data/corpora/texts
began=$(date +%s) # the minutes are of computing: from here on

step "harvest: what layer $layer of the language model does on these texts"
[ "$out" = demo ] || run sae-harvest --model "$model" --describe
run sae-harvest --model "$model" --layer "$layer" --text $texts/prose.jsonl.zst --tokens "$tokens" -o acts
run sae-harvest --like acts --context 64 --labels "$(echo $texts/labels/*.csv.zst | tr ' ' ',')" $labels
run sae-harvest --like acts --words $words

step "train: TopK without the orthogonality term, with a weak one, with a strong one, several seeds each"
small="--m $m --batch 512 --lr 1e-3" # what fits few tokens and a narrow stream
run sae-train --acts acts --arch topk --k 32 $small $steps --orth none,progressive --lambda2-max 0.003,0.1 \
    --seed $seeds --checkpoints $points -o sweep
# One seed of each, for what takes longer.
first=$(for run in none progressive_lam0.003 progressive_lam0.1; do ls -d sweep/run_$run* | head -n 1; done)

step "analyze: how separated are the features, at every checkpoint"
into analyze.txt sae-analyze --all sweep

step "splice: what does the language model lose"
into splice.txt sae-splice --contexts $contexts $all sweep

step "probe: how well does one latent know a concept, against one neuron"
into probe.txt sae-probe --k 1,2,5 $all sweep

step "absorb: does a first-letter latent stay silent where a word's own latent speaks"
into absorb.txt sae-absorb $all sweep

step "ablate: does zeroing a class's latents blind its own probe, and no other"
into ablate.txt sae-ablate --n 2,10,20,50 $all $first

step "unlearn: what clamping the latents of scripture makes the model forget"
if [ "$out" != demo ]; then # one value, which suits the stream: one and a quarter of its mean norm
    norm=$(sed -n 's/.*"mean_norm": \([0-9]*\).*/\1/p' acts/acts.json)
    forget="--thresholds 0.001 --features 10 --multipliers $((norm * 5 / 4)) --rows 64 --context 256 --form cloze"
fi
into unlearn.txt sae-unlearn --task $texts/unlearn $forget $first

step "report"
into notes.txt sae-report sweep
sed -n '/^In short/,/^What was run/p' notes.txt | sed '$d'
times >times.txt # of the programs: the second line
cat <<END

== done in $(($(date +%s) - began)) s; the programs took $(sed -n '2s/[.].*/s/p' times.txt) of processor time.
   To look at, in $root/$out:
   notes.txt                               the runs side by side, in groups over seeds
   analyze.txt probe.txt absorb.txt ...    each tool's own tables
   report_charts/*.svg                     the same as charts
   sweep/*/charts/*.svg                    one checkpoint in detail
   h5dump -H sweep/run_none*/ckpt_50.h5    what a checkpoint holds
END
[ "$out" != demo ] || echo "The same on a real language model: ./demo.sh --model MODEL; see data/models and README.md."
