#!/bin/sh
# The whole study in small, on the language model that ships in data/tiny-g2 and the texts of
# data/corpora/texts: harvest, train nine runs, analyze, splice, probe, absorb, ablate, unlearn, report.
# Everything it makes is in ./demo; run it again and ./demo is made anew. About ten minutes of
# computing on two cores.
#   ./demo.sh            everything
#   ./demo.sh --quick    less of everything, to see each program at work; its numbers say little
set -eu
cd "$(dirname "$0")"
tokens=1M words='' m=2048 seeds=1,2,3
case "${1:-}" in
'') ;;
--quick) tokens=100k words='--max-words 800' m=512 seeds=1,2 ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
root=$PWD
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

rm -rf demo
mkdir demo
cd demo
texts=../data/corpora/texts
began=$(date +%s) # the ten minutes are of computing: from here on

step "harvest: what layer 3 of the language model does on these texts"
run sae-harvest --model ../data/tiny-g2 --layer 3 --text $texts/prose.jsonl.zst --tokens $tokens -o acts
run sae-harvest --like acts --context 64 --labels "$(echo $texts/labels/*.csv.zst | tr ' ' ',')"
run sae-harvest --like acts --words $words

step "train: TopK without the orthogonality term, with a weak one, with a strong one, several seeds each"
small="--m $m --batch 512 --lr 1e-3" # what fits a width of 128 and a million tokens
run sae-train --acts acts --arch topk --k 32 $small --orth none,progressive --lambda2-max 0.003,0.1 \
    --seed $seeds -o sweep
# One seed of each, for what takes longer.
first="sweep/run_none_s1 sweep/run_progressive_lam0.003_s1 sweep/run_progressive_lam0.1_s1"

step "analyze: how separated are the features, at every checkpoint"
into analyze.txt sae-analyze --all sweep

step "splice: what does the language model lose"
into splice.txt sae-splice sweep

step "probe: how well does one latent know a concept, against one neuron"
into probe.txt sae-probe --k 1,2,5 sweep

step "absorb: does a first-letter latent stay silent where a word's own latent speaks"
into absorb.txt sae-absorb sweep

step "ablate: does zeroing a class's latents blind its own probe, and no other"
into ablate.txt sae-ablate --n 2,10,20,50 $first

step "unlearn: what clamping the latents of scripture makes the model forget"
# A fourth of the full grid; multipliers that suit a stream of norm 20.
into unlearn.txt sae-unlearn --task $texts/unlearn --thresholds 0.001 --multipliers 10,25 $first

step "report"
into notes.txt sae-report sweep
sed -n '/^In short/,/^What was run/p' notes.txt | sed '$d'
cat <<END

== done in $(($(date +%s) - began)) s of computing. To look at, in $root/demo:
   notes.txt                               the runs side by side, in groups over seeds
   analyze.txt probe.txt absorb.txt ...    each tool's own tables
   report_charts/*.svg                     the same as charts
   sweep/*/charts/*.svg                    one checkpoint in detail
   h5dump -H sweep/run_none_s1/ckpt_50.h5  what a checkpoint holds
The same commands work on google/gemma-2-2b: see README.md.
END
