#!/bin/sh
# sae-absorb as a person types it, on a word set and autoencoders with planted absorption.
# Usage: absorb.sh SAE_ABSORB EVAL_MAKE SOURCE_ROOT
set -u
absorb=$(realpath "$1") make=$(realpath "$2") root=$(realpath "$3")
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$make" "$dir" || exit 1
cd "$dir" || exit 1

# One word in ten is absorbed at ckpt_100, none at ckpt_50.
out=$("$absorb" run_1 2>err.txt) || complain "plain call failed: $(cat err.txt)"
printf '%s\n' "$out" | grep -Eq '^ *q +[01]\.[0-9]+ +40 +40 +1 +0\.947 +0\.1000 +0\.1000' ||
    complain "letter q is not 0.1: $out"
printf '%s\n' "$out" | grep -Eq '^ *D .* 26 +0\.1000' || complain "version D is not 0.1"
grep -q '"eval_type_id": "absorption_first_letter"' run_1/ckpt_100.absorb.json ||
    complain "no result, or of another type"
sh "$root/tests/cli/saebench.sh" "$root" run_1/ckpt_100.absorb.json || complain "not SAEBench's form"
cp run_1/ckpt_100.absorb.json first.json
"$absorb" -q --all >/dev/null || complain "--all failed"
"$absorb" -q --json run_1/ckpt_50.h5 >none.json || complain "--json failed"
grep -q '"mean_full_absorption_score": 0.0' none.json || complain "ckpt_50 absorbs"
cmp -s none.json run_1/ckpt_50.absorb.json || complain "--json differs from the file"

# Equal runs give equal bytes, whatever the threads.
strip() { grep -v '"command"\|"threads"\|"eval_id"\|"all"' "$1"; }
strip first.json >a.txt
"$absorb" -q --threads 1 run_1 >/dev/null
strip run_1/ckpt_100.absorb.json | cmp -s - a.txt || complain "one thread gives another result"

# The ground-truth probe is kept beside the words, and read or trained it is the same one.
ls acts/words.truth_*.h5 >/dev/null 2>&1 || complain "no ground-truth probe is kept"
"$absorb" -q --no-keep run_1 >/dev/null
strip run_1/ckpt_100.absorb.json | grep -v '"keep"' >b.txt
grep -v '"keep"' a.txt | cmp -s - b.txt || complain "the kept probe changes the result"
# Interrupted or not, the same bytes; no part is left behind.
for after in 0.05 0.2 0.4; do timeout -s INT $after "$absorb" -q --no-keep run_1 >/dev/null 2>&1; done
"$absorb" -q --no-keep run_1 >/dev/null || complain "does not go on"
strip run_1/ckpt_100.absorb.json | grep -v '"keep"' | cmp -s - b.txt || complain "differs after a stop"
ls run_1/*.part.json 2>/dev/null && complain "a part is left behind"

# A demand that cannot be met: null for version D, the other versions stay.
"$absorb" -q --min-probe-f1 1 --seed 3 --max-k 2 --f1-jump 0.02 --l1 0.02 --l1-batch 500 \
    --epochs 20 --batch 100 --min-letters 5 --words acts/words.h5 run_1 >few.txt ||
    complain "few letters: failed"
grep -q 'version D gives no mean' few.txt || complain "does not tell that letters are too few"
grep -q '"mean_absorption_fraction_score": null' run_1/ckpt_100.absorb.json ||
    complain "version D is not null"

expect() { # status, part of the message, arguments...
    want=$1 part=$2
    shift 2
    got=$("$absorb" "$@" 2>&1 >/dev/null)
    code=$?
    [ $code = "$want" ] || complain "$*: status $code, expected $want"
    case "$got" in *"$part"*) ;; *) complain "$*: says '$got'" ;; esac
}
expect 2 'max-k' --max-k 0
expect 1 'nothing.h5' -q --words nothing.h5 run_1
expect 1 'kind' -q --words acts/labels_mood.h5 run_1
mv acts/words.h5 gone.h5
expect 1 "no word set 'acts/words.h5'" -q run_1
expect 1 "make it with: sae-harvest --like acts --words" -q run_1
head -c 4000 gone.h5 >acts/words.h5
expect 1 'words.h5' -q run_1
exit $bad
