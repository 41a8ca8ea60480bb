#!/bin/bash
# Limits of the shell and of batch systems: little address space, little file size, signals that ask
# a job to end, a reader of the output that goes away. Each is told, and nothing half is left.
# Usage: limits.sh BUILD_ROOT
set -u
train=$1/train/sae-train
store=$1/tests/unit/fixtures/make_store
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
bad=0
complain() { echo "$*"; bad=1; }
"$store" acts 4000 16 1 ortho 4 >/dev/null || exit 1
options="--threads 1 --acts acts --m 32 --k 4 --batch 64 --heldout-rows 256"

# However little address space there is, the program works or says why it does not; it never hangs.
if ! ldd "$train" | grep -q 'lib[a-z]*san'; then
    for kb in 100000 200000 300000 400000 500000 700000 1000000; do
        err=$(ulimit -v $kb; timeout -k 1 60 "$train" -q $options --steps 8 -o r$kb 2>&1 >/dev/null)
        code=$?
        case "$code $err" in
        "0 "* | "1 "*"ulimit -v"* | "1 "*memory* | 127*) ;; # 127: not even the libraries fit
        *) complain "ulimit -v $kb: status $code, says '$err'" ;;
        esac
    done
    [ -e r1000000/ckpt_100.h5 ] || complain "1 GB of address space does not suffice"
fi

# A file that may not grow further.
err=$(ulimit -f 16; "$train" -q $options --steps 8 -o f 2>&1 >/dev/null)
code=$?
case "$code $err" in "1 "*"File too large"*) ;; *) complain "ulimit -f: $code, '$err'" ;; esac
ls -A f 2>/dev/null | grep -q . && complain "ulimit -f leaves $(ls -A f)"

# What batch systems and closed terminals send ends the run as TERM does: saved, to be resumed.
for signal in HUP USR1 USR2; do
    rm -rf cut
    # whoever runs the tests may have these ignored, as nohup does
    env --default-signal "$train" -q $options --steps 2000000 --checkpoints 0,100 -o cut \
        >/dev/null 2>err.txt &
    pid=$!
    while [ ! -e cut/ckpt_00.h5 ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -$signal $pid
    wait $pid
    code=$?
    [ $code = $((128 + $(kill -l $signal))) ] || complain "$signal: status $code"
    [ -e cut/state.h5 ] || complain "$signal: nothing saved; says '$(cat err.txt)'"
    ls -A cut | grep -q '^\.writer' && complain "$signal: the folder is not given back"
done
# But not where whoever started us wants it ignored.
rm -rf cut
(trap '' HUP; exec "$train" -q $options --steps 400 -o cut >/dev/null 2>err.txt) &
pid=$!
while [ ! -e cut/ckpt_00.h5 ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -HUP $pid 2>/dev/null
wait $pid || complain "nohup: status $?, '$(cat err.txt)'"
[ -e cut/ckpt_100.h5 ] || complain "nohup: not finished"

# A reader that goes away loses its output only, and gets no message.
mkfifo pipe
exec 3<>pipe 4>pipe 3<&-
rm -rf quiet
"$train" $options --steps 8 -q -o quiet 2>err.txt >&4 4>&- &
pid=$!
wait $pid
code=$?
exec 4>&-
[ -e quiet/ckpt_100.h5 ] || complain "no reader: the run was lost, status $code"
[ -s err.txt ] && complain "no reader: says '$(cat err.txt)'"
[ $code = 141 ] || complain "no reader: status $code"
exit $bad
