#!/bin/bash
# Kills a training run at random moments, again and again: after each kill every file that is there
# must open whole, and when the run has been resumed to its end its files must equal, byte for byte,
# those of a run that was never interrupted.
# Usage: kill.sh BUILD_ROOT [KILLS 10] [SEED 1]
set -u
build=$1 kills=${2:-10} seed=${3:-1}
train=$build/train/sae-train
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
command -v h5ls >/dev/null || { echo "h5ls is not there (hdf5-tools)"; exit 77; }
"$build/tests/unit/make_store" acts 12000 32 1 ortho 4 >/dev/null || exit 1
options="-q --threads 1 --acts acts --m 64 --k 4 --batch 256 --steps 1500 --save-every 50 --pairs 8
         --orth progressive --overlap-window 2"
began=$(date +%s%N)
"$train" $options -o whole >/dev/null || exit 1
length=$((($(date +%s%N) - began) / 1000)) # microseconds of an unbroken run

bad=0 done=0 runs=0 at_end=0
RANDOM=$seed
while [ "$done" -lt "$kills" ] && [ "$runs" -lt $((kills * 3)) ]; do
    rm -rf cut
    runs=$((runs + 1))
    first=1
    while [ ! -e cut/ckpt_100.h5 ]; do
        if [ "$first" = 1 ] || [ ! -e cut/ckpt_00.h5 ]; then
            rm -rf cut
            "$train" $options -o cut >/dev/null 2>&1 &
        else
            "$train" -q --threads 1 --resume cut >/dev/null 2>&1 &
        fi
        pid=$!
        first=0
        # anywhere from the start of the process to a little past its end
        sleep "$(awk -v r=$RANDOM -v t=$length 'BEGIN { printf "%.4f", r / 32767 * t * 0.7 / 1e6 }')"
        if kill -9 $pid 2>/dev/null; then done=$((done + 1)); else at_end=$((at_end + 1)); fi
        wait $pid 2>/dev/null
        for f in cut/*.h5; do
            [ -e "$f" ] || continue
            h5ls -r "$f" >/dev/null 2>&1 || { echo "damaged after kill $done: $f"; bad=1; }
        done
        [ "$done" -lt "$kills" ] || break
    done
    # to the end, undisturbed
    if [ -e cut/state.h5 ] || [ ! -e cut/ckpt_100.h5 ]; then
        if [ -e cut/ckpt_00.h5 ]; then
            "$train" -q --threads 1 --resume cut >/dev/null || { echo "resume failed"; bad=1; }
        else
            rm -rf cut
            "$train" $options -o cut >/dev/null || bad=1
        fi
    fi
    for f in whole/*; do
        cmp -s "$f" "cut/${f##*/}" || { echo "after $done kills ${f##*/} differs"; bad=1; }
    done
    [ "$(ls whole)" = "$(ls cut)" ] || { echo "other files: $(ls cut | tr '\n' ' ')"; bad=1; }
    [ "$bad" = 0 ] || break
done
echo "$done kills in $runs runs, $at_end came after the end"
[ "$done" -ge "$kills" ] || { echo "too few kills struck a living process"; bad=1; }
exit $bad
