#!/bin/bash
# A sweep as a person types it: each run of the grid holds the bytes of the same run made alone,
# also after a signal, a kill, with other threads and in smaller groups; runs without a difference
# are one; a run that fails leaves the others whole; damage is told and gone round.
# Usage: sweep.sh BUILD_ROOT
set -u
train=$1/train/sae-train
store=$1/tests/unit/fixtures/make_store
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
bad=0
complain() { echo "$*"; bad=1; }
run() { "$train" -q --threads 1 "$@"; }
same() { diff -r "$1" "$2" >/dev/null || complain "$1 and $2 differ: $(diff -rq "$1" "$2" | head -3)"; }
says() { # status words command...
    local want=$1 words=$2 got err
    shift 2
    err=$("$@" 2>&1 >/dev/null)
    got=$?
    [ "$got" = "$want" ] || complain "$*: status $got, expected $want"
    case "$err" in *"$words"*) ;; *) complain "$*: says '$err', not '$words'" ;; esac
}
until_there() { # file pid: waits for the file while the process lives
    while [ ! -e "$1" ] && kill -0 "$2" 2>/dev/null; do sleep 0.02; done
}

"$store" acts 6000 32 1 ortho 4 >/dev/null || exit 1
"$store" bad 3000 32 1 nan 4 >/dev/null || exit 1
one="--acts acts --m 64 --k 4 --batch 128 --steps 120 --lr 0.003 --pairs 4 --log-every 20
     --normalize unit --orth progressive --overlap-window 2"
grid="$one --lambda2-max 0.1,0.5 --base-threshold 0.1,0.3 --seed 1,2"

# The grid, and its runs made alone.
run $grid -o sweep >table.txt || complain "the sweep failed"
[ "$(grep -c '^run_' table.txt)" = 8 ] || complain "the table has not eight rows"
grep -q "^sae-report sweep$" table.txt || complain "no word on what comes next"
for l in 0.1 0.5; do for t in 0.1 0.3; do for s in 1 2; do
    name=run_lam${l}_tau${t}_s$s
    run $one --lambda2-max $l --base-threshold $t --seed $s -o alone/$name >/dev/null
    same alone/$name sweep/$name
done; done; done

# Stopped, then killed, then ended in groups of one and with other threads.
"$train" -q --threads 1 $grid --memory 300K -o cut >/dev/null 2>stopped.txt &
pid=$!
until_there cut/run_lam0.5_tau0.3_s1/ckpt_25.h5 $pid
kill -INT $pid
wait $pid
[ $? = 130 ] || complain "SIGINT gives another status than 130"
grep -q "continue with: sae-train --resume cut" stopped.txt || complain "no word on how to continue"
"$train" -q --threads 2 --resume cut --save-every 7 >/dev/null 2>&1 &
pid=$!
until_there cut/run_lam0.1_tau0.1_s2/ckpt_50.h5 $pid
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
find cut -name '*.part' -delete
says 2 "was started with 0.1" run --resume cut --lambda2-max 0.7
says 0 "group of up to 1 shares" "$train" --threads 1 --resume cut
for run in sweep cut; do grep -v '"memory"' $run/sweep.json >$run.json; done
cmp -s sweep.json cut.json && cp sweep/sweep.json cut/sweep.json
same sweep cut
says 0 "all of its 8 runs are" "$train" --resume cut
run $grid --memory 300K --continue -o cut >/dev/null || complain "--continue of a whole sweep failed"
same sweep cut
says 2 "was begun with 8 runs, but this command line makes 4" run ${grid/--seed 1,2/} --continue -o cut
says 2 "was begun without 'run_lam0.1_tau0.4_s1'" run ${grid/0.1,0.3/0.1,0.4} --continue -o cut
says 2 "was begun with --lr 0.003, but this command line has 0.004" run $grid --lr 0.004 --continue -o cut
says 2 "train other runs into another folder" run ${grid/0.1,0.3/0.1,0.4} --continue -o cut
rm cut/run_lam0.1_tau0.3_s1/ckpt_50.h5
run $grid --continue -o cut >/dev/null || complain "--continue of a sweep failed"
same sweep cut

# A damaged state is told, and the one before it serves; a lost run is made again.
cp -r sweep broken
rm broken/run_lam0.1_tau0.1_s1/ckpt_{75,100}.h5 broken/run_lam0.1_tau0.1_s2/*
printf 'damage' | dd of=broken/run_lam0.1_tau0.1_s1/ckpt_50.h5 bs=1 seek=20000 conv=notrunc 2>/dev/null
says 0 "ckpt_50.h5" "$train" --threads 1 --resume broken
same sweep broken

# Choices without meaning for a run are left out of it, and equal runs are one.
run --acts acts --m 64 --batch 128 --steps 2 --arch topk,standard --k 4,8 --l1 0.1 \
    --orth none,static --lambda2-max 0.1,0.2 -o mixed >/dev/null || complain "a mixed sweep failed"
[ "$(echo $(cd mixed && ls -d run_*))" = "run_standard_none run_standard_static_lam0.1 \
run_standard_static_lam0.2 run_topk_k4_none run_topk_k4_static_lam0.1 run_topk_k4_static_lam0.2 \
run_topk_k8_none run_topk_k8_static_lam0.1 run_topk_k8_static_lam0.2" ] || complain "$(ls mixed)"
says 2 "--l1 has no meaning for any run" run $one --arch topk,batchtopk --l1 1 -o none
says 2 "run_k65: --k 65" run $one --k 4,65 -o none
says 2 "0.10 is named twice" run $one --lambda2-max 0.1,0.10 -o none
says 2 "empty part" run $one --seed 1,,2 -o none
says 2 "expected a whole number" run $one --seed 1,x -o none
says 2 "need --backend cuda" run $grid --backend cpu --matmul bf16 -o none
says 1 "no such folder" run $one --acts nowhere --seed 1,2 -o none
says 2 "must end with 100" run $one --checkpoints 0 --seed 1,2 -o none
says 1 "row 5 holds NaN" run $one --acts bad --seed 1,2 -o none
[ -e none ] && complain "a refused sweep left a folder"
says 2 "need --backend cuda" run $grid --backend cpu --matmul bf16 --force -o sweep
says 2 "holds a sweep already" run $grid -o sweep
says 2 "holds a sweep already" run $one -o sweep

# One run fails; the other is whole.
says 1 "run_lr1e30: training diverged" run $one --lr 0.003,1e30 --warmup 0 -o wild
[ -e wild/run_lr0.003/ckpt_100.h5 ] || complain "the sound run was not finished"
run $one --lr 0.003 --warmup 0 -o alone/run_lr0.003 >/dev/null
same alone/run_lr0.003 wild/run_lr0.003
run $one --seed 8,9 --force -o sweep --json >json.txt || complain "--force failed"
[ "$(echo $(ls sweep))" = "run_s8 run_s9 sweep.json" ] || complain "--force left $(ls sweep)"
grep -q '"sweep": "sweep"' json.txt || complain "--json names no sweep"
exit $bad
