#!/bin/bash
# sae-train as a person types it: equal runs give equal bytes, another seed other ones; a run that
# was interrupted (by a signal, or killed) and resumed ends with the bytes of an unbroken one;
# contradictions, damage and other stores are refused with the reason.
# Usage: train.sh BUILD_ROOT
set -u
train=$1/train/sae-train
store=$1/tests/unit/fixtures/make_store
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
bad=0
complain() { echo "$*"; bad=1; }

same() { # folder folder: equal files
    for f in "$1"/*; do cmp -s "$f" "$2/${f##*/}" || complain "$f differs from that of $2"; done
    [ "$(ls "$1")" = "$(ls "$2")" ] || complain "$1 and $2 hold other files"
}
says() { # status words command...: it fails so, in one line that holds the words
    local want=$1 words=$2 got err
    shift 2
    err=$("$@" 2>&1 >/dev/null)
    got=$?
    [ "$got" = "$want" ] || complain "$*: status $got, expected $want"
    case "$err" in *"$words"*) ;; *) complain "$*: says '$err', not '$words'" ;; esac
    [ "$(printf '%s\n' "$err" | wc -l)" = 1 ] || complain "$*: more than one line"
}
run() { "$train" -q --threads 1 "$@"; }
until_there() { # file pid: waits for the file while the process lives
    while [ ! -e "$1" ] && kill -0 "$2" 2>/dev/null; do sleep 0.02; done
}

"$store" acts 12000 32 1 ortho 4 >/dev/null || exit 1
"$store" other 12000 32 2 ortho 4 >/dev/null || exit 1
"$store" bad 3000 32 1 nan 4 >/dev/null || exit 1

# What was changed after it was written is found where one asks for it.
cp -r acts changed && sed -i 's/"seed": 1/"seed": 9/' changed/acts.json
cmp -s acts/acts.json changed/acts.json && complain "the changed store is not changed"
says 1 "was changed after it was written" run --acts changed --verify --m 64 --k 4 --steps 1 -o none
[ -e none ] && complain "a changed store: a run was begun"
rm -rf changed none

# Every part of the state that a resume must carry: window, momentum, progressive k, AuxK, scale.
topk="--acts acts --m 64 --k 4 --k-start 8 --k-anneal 700 --batch 256 --steps 1200 --lr 0.003 --dead-after 3000
      --orth progressive --overlap-window 3 --threshold-momentum 0.9 --normalize unit --pairs 8
      --competition sigmoid --overlap jaccard --orth-normalizer latent"
standard="--acts acts --m 64 --arch standard --batch 256 --steps 600 --l1 0.1 --log-every 50
          --sparsity lp --p-end 0.5 --resample-every 100"
batchtopk="--acts acts --arch batchtopk --m 64 --k 4 --batch 256 --steps 900 --lr 0.003 --dead-after 3000
           --orth static --normalize unit --pairs 8"
gated="--acts acts --arch gated --m 64 --batch 256 --steps 600 --lr 0.003 --l1 0.3 --orth progressive --sparsity lp^p
       --p-updates 0        --overlap-window 2 --normalize unit --pairs 8 --log-every 50"
jumprelu="--acts acts --arch jumprelu --m 64 --batch 256 --steps 600 --lr 0.003 --target-l0 5
          --bandwidth 0.05 --l0-step z --orth static --normalize unit --pairs 8 --log-every 50"
matryoshka="--acts acts --arch matryoshka --m 64 --k 4 --groups 0.25,0.25,0.5 --batch 256 --steps 700
            --lr 0.003 --dead-after 3000 --orth ortsae --ortsae-chunk 20 --ortsae-every 3 --normalize unit
            --pairs 8 --log-every 50"
for name in topk standard batchtopk gated jumprelu matryoshka; do
    options=${!name}
    run $options -o $name >$name.txt || complain "$name failed"
    [ "$(grep -c '^ckpt_' $name.txt)" = 5 ] || complain "$name: the table has not five rows"
    run $options --verify -o again >/dev/null
    same $name again
    run $options --seed 43 -o again --force >/dev/null
    cmp -s $name/ckpt_100.h5 again/ckpt_100.h5 && complain "$name: another seed, the same bytes"
    # interrupted by a signal: of the two by turns
    case $name in topk) signals="INT TERM" ;; standard | gated | matryoshka) signals=INT ;; *) signals=TERM ;; esac
    for signal in $signals; do
        "$train" -q --threads 1 $options -o cut-$signal >/dev/null 2>stopped.txt &
        pid=$!
        until_there cut-$signal/ckpt_25.h5 $pid
        kill -$signal $pid
        wait $pid
        status=$?
        if [ -e cut-$signal/ckpt_100.h5 ]; then
            echo "# $name finished before the signal came"
        else
            [ $status = 130 ] || [ $status = 143 ] || complain "$signal gives status $status"
            grep -q "continue with: sae-train --resume cut-$signal" stopped.txt ||
                complain "no word on how to continue"
            run --resume cut-$signal >/dev/null || complain "resume after $signal failed"
        fi
        same $name cut-$signal
    done
    # killed: continues from the last state that was saved, and saves as often as it was told to
    run $options --save-every 70 -o often >/dev/null
    "$train" -q --threads 1 $options --save-every 70 -o killed >/dev/null 2>&1 &
    pid=$!
    until_there killed/ckpt_50.h5 $pid
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ ! -e killed/ckpt_100.h5 ]; then
        rm -f killed/*.part killed/state.h5 # the process to come is to make its own, from the start
        "$train" -q --resume killed >/dev/null 2>&1 &
        pid=$!
        until_there killed/state.h5 $pid
        [ -e killed/state.h5 ] || [ -e killed/ckpt_100.h5 ] || complain "resumed, $name failed"
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    fi
    run --resume killed >/dev/null || complain "resume of a killed run failed"
    same often killed
    rm -rf again cut-INT cut-TERM killed often
done

# --save-every is resumed (here what it is to write is barred), unless told anew; a value may be
# spelt in another way.
run $topk --save-every 70 --full-checkpoints -o often >/dev/null
cp -r often cut && rm cut/ckpt_25.h5 cut/ckpt_50.h5 cut/ckpt_75.h5 cut/ckpt_100.h5 && mkdir cut/state.h5
run --resume cut >/dev/null 2>&1 && complain "--save-every was not resumed"
[ -e cut/ckpt_25.h5 ] && complain "--save-every was not resumed in time"
run --resume cut --save-every 0 --lr 3e-3 --steps 1.2K >/dev/null 2>&1 || complain "not told anew"
rmdir cut/state.h5
same often cut
rm -rf often cut

# From a checkpoint in the middle, the store given by its new place.
cp -r topk small
run $topk --full-checkpoints --force -o topk >/dev/null || complain "--full-checkpoints failed"
mkdir half && cp topk/ckpt_00.h5 topk/ckpt_25.h5 topk/ckpt_50.h5 half/
# A device is used, or it is said why not.
err=$(run $topk --backend cuda -o device 2>&1 >/dev/null) ||
    case "$err" in *"backend 'cuda'"*) ;; *) complain "--backend cuda: says '$err'" ;; esac
says 2 'need --backend cuda' run --acts acts --k 4 --backend cpu --matmul bf16 -o x
cp -r topk kept
says 2 'need --backend cuda' run --acts acts --k 4 --backend cpu --matmul bf16 --force -o kept
same topk kept
[ -e x ] && complain "a refused --matmul left a folder"
says 2 "expected auto, cpu, cuda or ref" run --acts acts --k 4 --backend gpu -o x
says 1 "give --acts" sh -c "mv acts moved && '$train' -q --resume half"
says 1 "name its new place with --acts DIR" "$1/absorb/sae-absorb" -q half
says 2 "--k 5: the run was started with 4" run --resume half --k 5
says 2 "is not the store of this run" run --resume half --acts other
run --resume half --acts moved --json >half.json || complain "resume from a checkpoint failed"
mv moved acts
same topk half
grep -q '"explained_variance"' half.json || complain "--json has no metrics"

# Damage: the state before it serves, and the run ends with the same bytes. A finished run too.
damage() { printf 'damage' | dd of="$1" bs=1 seek=20000 conv=notrunc 2>/dev/null; }
rm half/ckpt_75.h5 half/ckpt_100.h5
damage half/ckpt_50.h5
says 0 "ckpt_50.h5" run --resume half
same topk half
damage half/ckpt_100.h5
says 0 "it is written again" run --resume half
same topk half
damage half/ckpt_50.h5
says 0 "it is written again" run --resume half
same topk half
rm half/ckpt_100.h5
for f in half/*; do damage $f; done
run --resume half >/dev/null 2>&1 || complain "a run whose files are all damaged was not made again"
same topk half
# A kill after the last checkpoint and before state.h5 was removed.
rm -rf half && cp -r topk half && cp half/ckpt_75.h5 half/state.h5
run --resume half >/dev/null || complain "a left state.h5 was not removed"
same topk half

# A lost checkpoint is made again: from the one before it, or from the start, where checkpoints hold
# weights only; all that is there stays as it is.
says 0 "resuming from 'half/ckpt_25.h5'" sh -c "rm half/ckpt_50.h5; '$train' --threads 1 --resume half 2>&1 |
    grep '^sae-train: resuming' >&2"
same topk half
[ "$(stat -c %s small/ckpt_50.h5)" -lt $(($(stat -c %s topk/ckpt_50.h5) * 3 / 4)) ] ||
    complain "checkpoints are no smaller without the optimiser's moments"
rm -rf half && cp -r small half && rm half/ckpt_50.h5 half/ckpt_00.h5 && touch -d '2001-01-01' half/*
says 0 "trained from its start" sh -c "'$train' --threads 1 --resume half 2>&1 |
    grep 'from its start' >&2"
same small half
[ "$(find half -newermt 2002-01-01 -name '*.h5' | sort | xargs)" = "half/ckpt_00.h5 half/ckpt_50.h5" ] ||
    complain "checkpoints that were there are written again"
rm -rf small

# The same line again: starts, does nothing where all is there, goes on; other options are named.
rm -rf half
for again in start nothing mend; do
    run $topk --full-checkpoints --continue -o half >/dev/null || complain "--continue failed to $again"
    same topk half
    rm half/ckpt_75.h5
done
says 2 "'half' was begun with --k 4, but this command line has 5" \
    run $topk --full-checkpoints --continue --k 5 -o half
says 2 "was begun with --full-checkpoints true, but this command line has false" \
    run $topk --continue -o half
says 2 "--threshold-momentum 0.9, but this command line has 0" \
    run ${topk/--threshold-momentum 0.9/} --full-checkpoints --continue -o half
says 2 "is not the store of this run" run ${topk/--acts acts/--acts other} --full-checkpoints \
    --continue -o half
says 2 "holds a run, but this command line makes a sweep" run $topk --full-checkpoints --seed 1,2 \
    --continue -o half
says 2 "give one of them" run $topk --full-checkpoints --continue --force -o half
says 2 "leave out --resume" run --continue --resume half
[ -e half/ckpt_75.h5 ] && complain "a refused --continue wrote"
run $topk --full-checkpoints --lr 3e-3 --steps 1.2K --save-every 9 --continue -o half >/dev/null ||
    complain "--continue minds how a value is spelt"
same topk half

# Leftovers of a writer are no run.
mkdir left && touch left/ckpt_00.h5.part left/state.h5.part left/ckpt_25.h5.host.1.2.part
says 2 "it holds no checkpoint and no state.h5" run --resume left
run --acts acts --m 64 --k 4 --batch 256 --steps 2 --continue -o left >/dev/null ||
    complain "leftovers count as a run"
[ -e left/ckpt_100.h5 ] || complain "leftovers kept a run from its folder"

# A run too short to learn is told, a long one is not.
short() { "$train" --threads 1 --acts acts --m 64 --k 4 --batch 64 --force --steps $1 -o few 2>&1; }
short 2 | grep -q '2 steps of 64 tokens teach' || complain "a run of two steps is not told"
short 100 | grep -q 'teach' && complain "a run of a hundred steps is called short"

# What is of another kind says so, and no run begins where the store should be.
says 2 "it is an activation store, not a run" run --resume acts
says 1 "but a run of sae-train" run --acts topk --m 64 --k 4 -o nothing
[ -e nothing ] && complain "a run began without a store"

# One writer a run: a second one is told who it is, and changes nothing; whoever is killed leaves
# nothing that keeps the next one out.
"$train" -q --threads 1 $topk --steps 100000 --save-every 100 -o one >/dev/null 2>&1 &
pid=$!
until_there one/state.h5 $pid
says 2 "$pid" run --resume one
says 2 "$pid" run $topk --steps 100000 --force -o one
says 2 "$pid" run $topk --steps 100000 --save-every 100 --continue -o one
kill -0 $pid 2>/dev/null || complain "a second writer ended the first"
kill -KILL $pid
wait $pid 2>/dev/null
"$train" -q --threads 1 --resume one --acts moved >/dev/null 2>&1 && complain "no store, no error"
cp -r acts "my store" # the command that continues is one that a shell takes
"$train" -q --threads 1 --resume one --acts "my store" >/dev/null 2>stopped.txt &
pid=$!
rm one/state.h5 2>/dev/null
until_there one/state.h5 $pid
kill -TERM $pid
wait $pid
grep -q "continue with: sae-train --resume one --acts 'my store'" stopped.txt ||
    complain "the hint forgets where the store is: $(cat stopped.txt)"
rm -rf "my store" one

# Saved by time too: with a time that is always over, as with every step.
"$train" -q --threads 1 $topk --save-minutes 0.00001 -o timed >/dev/null 2>&1 &
pid=$!
until_there timed/state.h5 $pid
[ -e timed/ckpt_25.h5 ] && [ ! -e timed/state.h5 ] && complain "nothing was saved by time"
kill -KILL $pid
wait $pid 2>/dev/null
run --resume timed --save-minutes 0 >/dev/null || complain "resume of a run saved by time failed"
run $topk --save-minutes 0.00001 -o timed2 >/dev/null
same timed2 timed
rm -rf timed timed2

# The disk is looked at first.
says 1 "are free; make room" run --acts acts -o wide --m 1G --k 4 --checkpoints 0,25,50,75,100
[ -e wide ] && complain "a run that does not fit left a folder"
for full in "" --full-checkpoints; do
    told=$("$train" --threads 1 --acts acts -o narrow --force --m 8192 --k 4 --steps 2 --batch 256 $full 2>&1 |
        sed -n 's/.* will hold about \([0-9.]*\) MB of checkpoints.*/\1/p')
    cat narrow/ckpt_*.h5 | wc -c | awk -v told="${told:-0}" \
        '{ exit !(told > $1 / 1e6 && told < 1.2 * $1 / 1e6) }' || complain "told $told MB: $(ls -l narrow)"
done
rm -rf narrow

# Refusals.
says 2 "its schedules" run --resume half --steps 2400
says 0 "a longer run needs another folder" sh -c "'$train' --resume topk 2>&1 | grep finished >&2"
says 2 "holds a run already" run $topk -o topk
says 1 "no such folder" run --resume nowhere
says 2 "--out and --resume" run --resume topk -o new
says 2 "no activation store" run -o new
says 2 "no run folder" run --acts acts
says 2 "--k has no meaning with --arch standard" run --acts acts -o new --arch standard --k 8
says 2 "--l1 has no meaning with --arch topk" run --acts acts -o new --l1 1
says 2 "--l1 has no meaning with --arch batchtopk" run --acts acts -o new --arch batchtopk --l1 1
says 2 "--k has no meaning with --arch gated" run --acts acts -o new --arch gated --k 4
says 2 "--auxk-alpha has no meaning" run --acts acts -o new --arch gated --auxk-alpha 0.1
says 2 "--k has no meaning with --arch jumprelu" run --acts acts -o new --arch jumprelu --k 4
says 2 "--l1 has no meaning with --arch jumprelu" run --acts acts -o new --arch jumprelu --l1 1
says 2 "--target-l0 has no meaning except with --arch jumprelu" run --acts acts -o new --arch gated \
    --target-l0 4
says 2 "--target-l0 65" run --acts acts -o new --arch jumprelu --m 64 --target-l0 65
says 2 "--bandwidth 0" run --acts acts -o new --arch jumprelu --bandwidth 0
says 2 "--cut-start has no meaning except with --arch batchtopk" run --acts acts -o new --cut-start 5
says 2 "--groups has no meaning except with --arch matryoshka" run --acts acts -o new --groups 0.5,0.5
says 2 "add up to 0.75" run --acts acts -o new --arch matryoshka --groups 0.25,0.5
says 2 "less than one of the 16 latents" run --acts acts -o new --arch matryoshka --m 16 --k 4
says 2 "--cut-start 99" run --acts acts -o new --arch batchtopk --steps 100 --cut-start 99
says 2 "--gamma has no meaning without --orth" run --acts acts -o new --gamma 1
says 2 "--k-anneal has no meaning without --k-start" run --acts acts -o new --k-anneal 5
says 2 "--sparsity has no meaning with --arch topk" run --acts acts -o new --sparsity lp
says 2 "--p-end has no meaning without --sparsity" run --acts acts -o new --arch standard --p-end 0.5
says 2 "--p-end 0" run --acts acts -o new --arch standard --sparsity lp --p-end 0
says 2 "--p-updates 12" run --acts acts -o new --arch standard --sparsity lp --steps 100 \
    --anneal-start 90 --p-updates 12
says 2 "--resample-every has no meaning" run --acts acts -o new --arch gated --resample-every 5
says 2 "exclude each other" run --acts acts -o new --arch standard --steps 100 --decay-start 80 \
    --resample-every 5
says 2 "--l0-step has no meaning" run --acts acts -o new --l0-step z
says 2 "--ortsae-every has no meaning without --orth ortsae" run --acts acts -o new --ortsae-every 2
says 2 "--orth-normalizer has no meaning without" run --acts acts -o new --orth ortsae \
    --orth-normalizer mean
says 2 "--sharpness has no meaning" run --acts acts -o new --sharpness 1
says 2 "--k 65" run --acts acts -o new --m 64 --k 65
says 2 "--tokens and --steps" run --acts acts -o new --tokens 5K --steps 3
says 2 "at least one batch" run --acts acts -o new --batch 12000
says 2 "must end with 100" run --acts acts -o new --checkpoints 0,50
says 2 "static means gamma 0" run --acts acts -o new --orth static --gamma 2
says 1 "row 5 holds NaN" run --acts bad -o nan --m 64 --k 4 --batch 256
says 1 "no such folder" run --acts nowhere -o new
says 2 "--threshold-floor 0.2 is above --base-threshold 0.1" run --acts acts -o new \
    --threshold-floor 0.2
"$store" zero 3000 32 1 ortho 0 64 2 0 >/dev/null && says 1 "nothing to learn" \
    run --acts zero -o new --m 64 --k 4 --batch 256 --normalize unit
says 1 "a file of that name is there" run $topk -o acts/acts_00000.h5/new
[ -e new ] || [ -e nan ] && complain "what was refused left a folder"
wild="--acts acts -o wild --m 64 --batch 256 --steps 50 --warmup 0 --force"
# Whether sums that overflow are infinite or no numbers, and so at which step they are noticed, depends on
# the BLAS: the words that do not are compared.
says 1 "training diverged: " run $wild --lr 1e30
says 1 "a smaller --lr (now 1e+30) or --normalize unit may help" run $wild --lr 1e30
says 1 "ckpt_00.h5'; the orthogonality term had outgrown the reconstruction" \
    run $wild --lr 1e30 --log-every 1 --orth static --lambda2-max 1e6
says 1 "times the variance of its batch" run $wild --lr 1e6 --log-every 1
[ "$(ls wild)" = ckpt_00.h5 ] || complain "a run that diverged left $(ls wild)"

# What --print-config prints is taken by --config, defaults without meaning for the run among it.
small="--acts acts --m 64 --k 4 --batch 256 --steps 2 --orth progressive"
run $small --print-config >config.txt || complain "--print-config failed"
run --config config.txt -o configured >/dev/null || complain "--config refuses what --print-config prints"
run $small -o typed >/dev/null
same typed configured

# Fractions of a percent, and a run of one step.
run --acts acts -o short --m 64 --k 4 --batch 256 --steps 1 --checkpoints 100 >/dev/null ||
    complain "one step failed"
run --acts acts -o fine --m 64 --k 4 --batch 256 --steps 40 --checkpoints 12.5,100 >/dev/null
[ -e fine/ckpt_12.5.h5 ] || complain "no ckpt_12.5.h5"
exit $bad
