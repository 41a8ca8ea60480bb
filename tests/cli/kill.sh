#!/bin/bash
# Kills training at random moments, again and again - runs of every architecture, and a sweep: after
# each kill every file that is there must open whole, and when all has been resumed to its end the
# files must equal, byte for byte, those of a run that was never interrupted.
# Usage: kill.sh BUILD_ROOT [KILLS 6] [SEED 1] [NAME ...]
set -u
build=$1 kills=${2:-6} seed=${3:-1}
shift $(($# < 3 ? $# : 3))
train=$build/train/sae-train
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
command -v h5ls >/dev/null || { echo "h5ls is not there (hdf5-tools)"; exit 77; }
"$build/tests/unit/make_store" acts 12000 32 1 ortho 4 >/dev/null || exit 1
common="-q --threads 1 --acts acts --m 64 --batch 256 --save-every 50 --pairs 8"
topk="--k 4 --steps 1200 --orth progressive --overlap-window 2"
sweep="--k 4 --steps 300 --orth none,progressive --lambda2-max 0.1,0.5 --seed 1,2"
batchtopk="--arch batchtopk --k 4 --steps 500 --normalize unit"
matryoshka="--arch matryoshka --k 4 --steps 400 --orth static"
standard="--arch standard --steps 300 --l1 0.1"
gated="--arch gated --steps 300 --lr 0.003 --orth progressive --normalize unit"
jumprelu="--arch jumprelu --steps 300 --lr 0.003 --target-l0 5 --bandwidth 0.05"
ortsae="--k 4 --steps 500 --orth ortsae"

bad=0
RANDOM=$seed
ended() { [ "$(find cut -name ckpt_100.h5 2>/dev/null | wc -l)" = "$1" ]; }
begun() { [ -e cut/ckpt_00.h5 ] || [ -e cut/sweep.json ]; }
start() { # [SECONDS]: brings cut further, struck after so long
    local strike=${1:+timeout -s KILL $1}
    begun && { $strike "$train" -q --threads 1 --resume cut; return; }
    rm -rf cut
    $strike "$train" $options -o cut
}

# One name of the list above, killed `kills` times.
strike() { # name kills
    local options="$common ${!1}" kills=$2 done=0 runs=0 at_end=0 began length n f
    began=$(date +%s%N)
    rm -rf whole
    "$train" $options -o whole >/dev/null || { echo "$1 failed"; bad=1; return; }
    length=$((($(date +%s%N) - began) / 1000)) # microseconds of an unbroken run
    n=$(find whole -name ckpt_100.h5 | wc -l)
    while [ "$done" -lt "$kills" ] && [ "$runs" -lt $((kills * 3)) ] && [ "$bad" = 0 ]; do
        rm -rf cut
        runs=$((runs + 1))
        while ! ended "$n" && [ "$done" -lt "$kills" ]; do
            # anywhere from the start of the process to its end; where that comes earlier than it
            # was measured (a machine that others use), the next strike comes earlier too
            start "$(awk -v r=$RANDOM -v t=$length \
                'BEGIN { printf "%.4f", r / 32767 * t * 0.7 / 1e6 + 0.001 }')" >/dev/null 2>&1
            case $? in
            137) done=$((done + 1)) ;;
            0) at_end=$((at_end + 1)) length=$((length * 9 / 10)) ;;
            *) echo "$1: failed after kill $done"; bad=1; return ;;
            esac
            for f in $(find cut -name '*.h5' 2>/dev/null); do
                h5ls -r "$f" >/dev/null 2>&1 || { echo "damaged after kill $done: $f"; bad=1; }
            done
        done
        # to the end, undisturbed
        if ! ended "$n" || [ -n "$(find cut -name 'state.h5*')" ]; then
            start >/dev/null || { echo "$1: resume failed"; bad=1; }
        fi
        diff -r whole cut >/dev/null || { echo "$1 after $done kills: $(diff -rq whole cut)"; bad=1; }
    done
    echo "$1: $done kills in $runs runs, $at_end came after the end"
    [ "$done" -ge "$kills" ] || { echo "too few kills struck a living process"; bad=1; }
}

if [ $# -gt 0 ]; then
    for name; do strike "$name" "$kills"; done
else
    strike topk "$kills"
    strike sweep "$kills"
    for name in batchtopk matryoshka standard gated jumprelu ortsae; do strike $name 2; done
fi
exit $bad
