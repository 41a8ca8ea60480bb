#!/bin/bash
# Strikes programs at random moments, again and again, with SIGKILL, SIGTERM, SIGINT, SIGHUP and SIGUSR1:
# training of every architecture, a sweep, and every other program that keeps what it has done so far.
# After each strike every file that is there must open whole, and when all has been taken up to its end
# the files must equal, byte for byte, those of a run that was never interrupted.
# Usage: kill.sh BUILD_ROOT [KILLS 6] [SEED 1] [NAME ...]
set -u
build=$(realpath "$1") kills=${2:-6} seed=${3:-1}
root=$(realpath "$(dirname "$0")/../..")
shift $(($# < 3 ? $# : 3))
sae_train=$build/train/sae-train
. "$root/tests/inject/works.sh"
mkdir "$top/train" && cd "$top/train" || exit 1
command -v h5ls >/dev/null || { echo "h5ls is not there (hdf5-tools)"; exit 77; }
"$build/tests/unit/fixtures/make_store" acts 12000 32 1 ortho 4 >/dev/null || exit 1
common="-q --threads 1 --acts acts --m 64 --batch 256 --save-every 50 --pairs 8"
topk="--k 4 --steps 1200 --orth progressive --overlap-window 2"
sweep="--k 4 --steps 300 --orth none,progressive --lambda2-max 0.1,0.5 --seed 1,2"
batchtopk="--arch batchtopk --k 4 --steps 500 --normalize unit"
matryoshka="--arch matryoshka --k 4 --steps 400 --orth static"
standard="--arch standard --steps 300 --l1 0.1"
standard_2024="--arch standard-2024 --steps 300 --l1 0.1"
gated="--arch gated --steps 300 --lr 0.003 --orth progressive --normalize unit"
jumprelu="--arch jumprelu --steps 300 --lr 0.003 --target-l0 5 --bandwidth 0.05"
ortsae="--k 4 --steps 500 --orth ortsae"

bad=0
RANDOM=$seed
ended() { [ "$(find cut -name ckpt_100.h5 2>/dev/null | wc -l)" = "$1" ]; }
begun() { [ -e cut/ckpt_00.h5 ] || [ -e cut/sweep.json ]; }
# A signal, oftenest the one that leaves no time to put things in order.
a_signal() {
    local signals=(KILL KILL KILL TERM INT HUP USR1)
    echo "${signals[RANDOM % 7]}"
}
# 137: killed; 128 and a number: ended by that signal, or in its own way because of it
is_struck() { [ "$1" -ge 129 ] && [ "$1" -le 143 ]; }
start() { # [SECONDS]: brings cut further, struck after so long
    local strike=${1:+timeout --preserve-status -s $(a_signal) $1}
    begun && { $strike "$sae_train" -q --threads 1 --resume cut; return; }
    rm -rf cut
    $strike "$sae_train" $options -o cut
}

# One name of the list above, killed `kills` times.
strike() { # name kills
    local options="$common ${!1}" kills=$2 done=0 runs=0 at_end=0 began length n f code
    began=$(date +%s%N)
    rm -rf whole
    "$sae_train" $options -o whole >/dev/null || { echo "$1 failed"; bad=1; return; }
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
            code=$?
            if is_struck $code; then
                done=$((done + 1))
            elif [ $code = 0 ]; then
                at_end=$((at_end + 1)) length=$((length * 9 / 10))
            else
                echo "$1: status $code after strike $done"
                bad=1
                return
            fi
            for f in $(find cut -name '*.h5' 2>/dev/null); do
                h5ls -r "$f" >/dev/null 2>&1 || { echo "damaged after strike $done: $f"; bad=1; }
            done
        done
        # to the end, undisturbed; who was killed after the last file may have left its lock
        if ! ended "$n" || [ -n "$(find cut -name 'state.h5*' -o -name '.writer.*')" ]; then
            start >/dev/null || { echo "$1: resume failed"; bad=1; }
        fi
        diff -r whole cut >/dev/null || { echo "$1 after $done strikes: $(diff -rq whole cut)"; bad=1; }
    done
    echo "$1: $done strikes in $runs runs, $at_end came after the end"
    [ "$done" -ge "$kills" ] || { echo "too few strikes met a living process"; bad=1; }
}

# One work of works.sh, struck `kills` times. It may have ended before the strike.
strike_work() { # name kills
    local name=$1 kills=$2 done=0 runs=0 at_end=0 began length pid code differs
    began=$(date +%s%N)
    begin_work "$name" || { bad=1; return; }
    copy_base
    began=$(date +%s%N)
    run=
    "do_$name" >"$top/out" 2>&1
    length=$((($(date +%s%N) - began) / 1000))
    while [ "$done" -lt "$kills" ] && [ "$runs" -lt $((kills * 10)) ] && [ "$bad" = 0 ]; do
        copy_base
        runs=$((runs + 1)) code=1
        while [ $code != 0 ] && [ "$done" -lt "$kills" ]; do
            run=exec
            (again "$name") >"$top/out" 2>"$top/err" &
            pid=$!
            sleep "$(awk -v r=$RANDOM -v t=$length 'BEGIN { printf "%.4f", r / 32767 * t * 0.9 / 1e6 }')"
            kill -s "$(a_signal)" $pid 2>/dev/null
            { wait $pid; } 2>/dev/null
            code=$?
            if is_struck $code; then
                done=$((done + 1))
            elif [ $code = 0 ]; then
                at_end=$((at_end + 1)) length=$((length * 9 / 10))
            else
                echo "$name: status $code after strike $done: $(head -n 2 "$top/err")"
                bad=1
                return
            fi
            differs=$(other_files "$top/work")
            [ -z "$differs" ] || { echo "$name after strike $done: $differs"; bad=1; }
        done
        run=
        [ $code = 0 ] || again "$name" >"$top/out" 2>"$top/err" ||
            { echo "$name cannot be taken up: $(head -n 2 "$top/err")"; bad=1; }
        differs=$(tree_differs "$top/clean" "$top/work")
        [ -z "$differs" ] || { echo "$name after $done strikes: $differs"; bad=1; }
    done
    echo "$name: $done strikes in $runs runs, $at_end came after the end"
    [ "$done" -ge "$kills" ] || { echo "too few strikes met a living process"; bad=1; }
}

strike_any() { # name kills
    if [ -n "${!1:-}" ]; then
        cd "$top/train" && strike "$1" "$2"
    else
        strike_work "$1" "$2"
    fi
}

# A whole run that lost a checkpoint, killed while that is made again.
mend() { # name
    local options="$common ${!1}" lost seconds
    rm -rf whole
    "$sae_train" $options -o whole >/dev/null || { echo "$1 failed"; bad=1; return; }
    for lost in 00 50; do
        rm -rf cut
        cp -r whole cut && rm cut/ckpt_$lost.h5
        for seconds in 0.05 0.2 0.3; do
            timeout -s KILL $seconds "$sae_train" -q --threads 1 --resume cut >/dev/null 2>&1
        done
        "$sae_train" $options --continue -o cut >/dev/null 2>&1 || { echo "$1 was not mended"; bad=1; }
        diff -r whole cut >/dev/null || { echo "$1, ckpt_$lost mended: $(diff -rq whole cut)"; bad=1; }
    done
}

if [ $# -gt 0 ]; then
    for name; do strike_any "$name" "$kills"; done
else
    strike_any topk "$kills"
    strike_any sweep "$kills"
    mend topk
    mend batchtopk
    for arch in $("$sae_train" --list-arch | sed -n 's/^\([a-z][^ ]*\) .*/\1/p'); do
        name=${arch//-/_} # its options are listed above
        [ -n "${!name:-}" ] || { echo "no run of --arch $arch is struck"; bad=1; continue; }
        [ "$arch" = topk ] || strike_any "$name" 2
    done
    strike_any ortsae 2
    # training is above; what writes one file keeps nothing
    for name in $(works | grep -v '^train$\|^sweep$\|^resume$\|^convert\|^import$\|^export_acts$\|^report$'); do
        strike_any "$name" 2
    done
fi
exit $bad
