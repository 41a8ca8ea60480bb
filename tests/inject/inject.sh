#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes calls of every program fail, one in each run: memory, writing, reading, opening, fsync, rename
# and more (shim.c). After each: no signal, no hang, a message where the status is not 0, the clean
# run's files where it is 0; no file under its final name that differs from the clean run's; and the
# same work taken up again must give the clean run's files.
#
#   inject.sh BUILD SOURCE [EACH 1] [SEED 1] [NAME ...]
#
# EACH: how many calls of a kind fail, one at a time, evenly drawn from all there are; "all" for every
# one. NAME: of the works below; default all of them.
set -u
build=$(realpath "$1") root=$(realpath "$2") each=${3:-1} seed=${4:-1}
shift $(($# < 4 ? $# : 4))
RANDOM=$seed
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=passive LC_ALL=C.UTF-8
unset SOURCE_DATE_EPOCH
top=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$top"' EXIT
trap 'exit 143' INT TERM HUP
shim=$build/tests/inject/libinjectshim.so
tried=0 failed_runs=0 bad=0

# what, how, and whether all later calls fail too
kinds="alloc:ENOMEM write:ENOSPC write:ENOSPC:stay write:EIO write:EINTR write:short read:EIO
 read:EINTR read:short open:EACCES sync:EIO rename:EIO mmap:ENOMEM truncate:ENOSPC unlink:EIO
 mkdir:ENOSPC"

# --- works: make_X the folder to begin from, do_X the run, again_X what takes it up -------------

model=$root/data/tiny-g2
small="--m 32 --k 4 --batch 64 --heldout-rows 256"

make_texts() {
    local i
    for i in $(seq 40); do
        echo "{\"text\": \"And the LORD said unto the king of city $i, Go forth. The value is $i.\"}"
    done >text.jsonl
}
make_harvest() { make_texts; }
do_harvest() {
    $run "$build/harvest/sae-harvest" -q --threads 1 --model "$model" --layer 2 --text text.jsonl \
        --tokens 300 --context 32 --shard-rows 120 -o acts
}
again_harvest() { do_harvest; }

make_labels() {
    make_texts
    local i
    { echo text,label; for i in $(seq 20); do
        echo "The dog $i barked.,dog"; echo "A cat of house $i slept.,cat"; done; } >pets.csv
    run= do_harvest >/dev/null
}
do_labels() {
    $run "$build/harvest/sae-harvest" -q --threads 1 --like acts --labels pets.csv --context 32
}
again_labels() { do_labels; }

make_train() { "$build/tests/unit/make_store" acts 1500 16 1 ortho 4 >/dev/null; }
do_train() {
    $run "$build/train/sae-train" -q --threads 1 --acts acts $small --steps 16 --save-every 5 \
        --orth progressive --pairs 4 -o run_1
}
begun() { [ -e "$1/ckpt_00.h5" ] || [ -e "$1/state.h5" ] || [ -e "$1/sweep.json" ]; }
again_train() {
    if begun run_1; then "$build/train/sae-train" -q --threads 1 --resume run_1; else do_train; fi
}
make_sweep() { make_train; }
do_sweep() {
    $run "$build/train/sae-train" -q --threads 1 --acts acts $small --steps 6 --seed 1,2 -o sweep
}
again_sweep() {
    if begun sweep; then "$build/train/sae-train" -q --threads 1 --resume sweep; else do_sweep; fi
}
# A run that was struck in the middle, so that --resume is what meets the fault.
make_resume() {
    make_train
    run="timeout -s INT 0.2" do_train >/dev/null 2>&1
    begun run_1 || { run= do_train >/dev/null; }
}

make_run() {
    make_train
    run= do_train >/dev/null
}
make_analyze() { make_run; }
do_analyze() { $run "$build/analyze/sae-analyze" -q --threads 1 --sample 8 run_1; }
again_analyze() { do_analyze; }

make_convert() { make_run; }
do_convert() { $run "$build/convert/sae-convert" -q run_1 -o lens; }
again_convert() { run= ; "$build/convert/sae-convert" -q --force run_1 -o lens; }
make_convert_npz() { make_run; }
do_convert_npz() { $run "$build/convert/sae-convert" -q run_1 -o sae.npz; }
again_convert_npz() { "$build/convert/sae-convert" -q --force run_1 -o sae.npz; }
make_convert_torch() { make_run; }
do_convert_torch() { $run "$build/convert/sae-convert" -q --to dictionary_learning run_1 -o dict; }
again_convert_torch() {
    "$build/convert/sae-convert" -q --force --to dictionary_learning run_1 -o dict
}
make_import() { cp -r "$root/tests/golden/sae/lens_topk" lens && cp -r "$root/tests/golden/sae/dict_topk" dict; }
do_import() { $run "$build/convert/sae-convert" -q dict -o sae.h5; }
again_import() { "$build/convert/sae-convert" -q --force dict -o sae.h5; }

make_probe() { "$build/tests/unit/eval_make" .; }
do_probe() {
    $run "$build/probe/sae-probe" -q --threads 1 --k 1 --seeds 42 --no-full --train-size 40 \
        --test-size 10 run_1
}
again_probe() { do_probe; }
make_absorb() { "$build/tests/unit/eval_make" .; }
do_absorb() { $run "$build/absorb/sae-absorb" -q --threads 1 --max-k 2 run_1; }
again_absorb() { do_absorb; }

make_splice() {
    make_texts
    run= do_harvest >/dev/null
    "$build/train/sae-train" -q --threads 1 --acts acts $small --batch 32 --heldout-rows 64 --steps 6 \
        -o run_1 >/dev/null
}
do_splice() {
    $run "$build/splice/sae-splice" -q --threads 1 --skip 0 --contexts 3 --context 32 --batch 1 run_1
}
again_splice() { do_splice; }

make_ablate() {
    make_texts
    local i animal
    { echo text,label,attribute; for i in $(seq 24); do for animal in cat dog; do
        echo "And the LORD said unto the $animal $i.,$animal,scripture"
        echo "The function returns $animal number $i.,$animal,manual"; done; done; } >animal.csv
    run= do_harvest >/dev/null
    "$build/harvest/sae-harvest" -q --threads 1 --like acts --labels animal.csv --context 32 >/dev/null
    "$build/train/sae-train" -q --threads 1 --acts acts $small --batch 32 --heldout-rows 64 --steps 6 \
        -o run_1 >/dev/null
}
do_ablate() {
    $run "$build/ablate/sae-ablate" -q --threads 1 --n 2 --seeds 1 --epochs 1 run_1
}
again_ablate() { do_ablate; }

make_unlearn() {
    make_splice
    mkdir -p task/forget task/retain
    cp text.jsonl task/forget.jsonl
    sed 's/LORD said unto the king/function returns the row/' text.jsonl >task/retain.jsonl
    echo '{"question": "And God said, Let there be light: and there was", "choices": ["light.", "operator class."], "answer": 0}' >task/forget/scripture.jsonl
    echo '{"question": "This function returns the number of rows in the", "choices": ["table.", "wilderness of Judah."], "answer": 0}' >task/retain/manual.jsonl
}
do_unlearn() {
    $run "$build/unlearn/sae-unlearn" -q --threads 1 --task task --context 32 --thresholds 0.01 \
        --features 2 --multipliers 5 run_1
}
again_unlearn() { do_unlearn; }

make_report() { "$build/tests/unit/report_make" .; rm -r run_3; }
do_report() { $run "$build/report/sae-report" run_1 run_2; }
again_report() { do_report; }

make_autointerp() { "$build/tests/unit/autointerp_make" . "$model" >words; }
do_autointerp() {
    $run "$build/autointerp/sae-autointerp" -q --threads 1 --parallel 1 --llm none \
        --api-base "$chat" run_1
}
again_autointerp() { do_autointerp; }
chat=
start_chat() { # the endpoint that answers as told; it ends with this script
    [ -z "$chat" ] || return 0
    mkfifo "$top/hold"
    "$build/tests/unit/chat_server" "$top/port" <"$top/hold" &
    exec 9>"$top/hold"
    for _ in $(seq 100); do [ -s "$top/port" ] && break; sleep 0.1; done
    chat=http://127.0.0.1:$(cat "$top/port")/v1
    export NO_PROXY='*'
    unset OPENAI_API_KEY http_proxy HTTP_PROXY all_proxy ALL_PROXY
}

# --- one fault ---------------------------------------------------------------------------------

complain() {
    echo "$name, $kind call $n: $*"
    sed 's/^/    /' "$top/err" | head -n 3
    bad=$((bad + 1))
}

# Temporary files, locks and states of unfinished work are no final names.
is_final() {
    case "$1" in
    *.part | *.part.* | *part.json | *.tmp | *.lock | *.tmp.* | *.part-* | */state.h5* | */.* | *.old) return 1 ;;
    esac
}

# Every file that is there under a name of the clean run must be the clean run's.
check_files() {
    local file
    while read -r file; do
        is_final "$file" || continue
        if [ ! -e "$top/clean/$file" ]; then
            complain "leaves $file"
        elif ! cmp -s "$top/clean/$file" "$top/work/$file"; then
            complain "$file is not the clean run's"
        fi
    done < <(cd "$top/work" && find . -type f)
}

# What may lack where all went well: a cache that could not be kept.
same_tree() {
    diff -rq "$top/clean" "$top/work" 2>&1 | grep -v '^Only in .*clean/acts.*: \(reference\|.*\.h5\)$' |
        grep -v '^Only in .*\.lock$\|: [^ ]*\.lock$'
}

strike() { # n
    local rc differs
    n=$1
    rm -rf "$top/work" && cp -r "$top/base" "$top/work" && cd "$top/work" || exit 1
    run="timeout -k 5 60 env INJECT_WHAT=${kind%%:*} INJECT_HOW=$how $stay INJECT_AT=$n LD_PRELOAD=$shim"
    "do_$work" >"$top/out" 2>"$top/err"
    rc=$?
    tried=$((tried + 1))
    [ "$rc" = 0 ] || failed_runs=$((failed_runs + 1))
    if [ $rc = 124 ] || [ $rc -ge 128 ]; then
        complain "ends with status $rc"
    elif [ $rc != 0 ]; then
        [ -s "$top/err" ] || complain "fails without a word, status $rc"
    fi
    if [ $rc = 0 ]; then
        cmp -s "$top/out" "$top/clean.out" || complain "status 0, but another answer"
        differs=$(same_tree | grep -v '^Only in .*work' | head -n 2)
        [ -z "$differs" ] || complain "status 0, but: $differs"
    fi
    check_files
    if [ $rc != 0 ]; then
        run=
        "again_$again" >"$top/out" 2>"$top/err" || complain "cannot be taken up again, status $?"
        differs=$(same_tree | grep -v 'Only in .*work.*\.part' | head -n 2)
        [ -z "$differs" ] || complain "taken up again: $differs"
    fi
    cd "$top" || exit 1
}

# Which calls of `count` fail: `each` of them, evenly, from a random first one.
drawn() {
    local count=$1 step first
    if [ "$each" = all ] || [ "$count" -le "$each" ]; then
        seq "$count"
    else
        step=$((count / each))
        first=$(((RANDOM * 32768 + RANDOM) % step + 1))
        seq "$first" "$step" "$count" | head -n "$each"
    fi
}

try_work() {
    local count
    name=$1 work=$1 again=$1
    rm -rf "$top/base" "$top/clean" "$top/work"
    mkdir "$top/work" && cd "$top/work" || exit 1
    [ "$name" != autointerp ] || start_chat
    if [ "$name" = resume ]; then work=resume again=train; fi
    "make_$name" >"$top/out" 2>"$top/err" || { kind=make n=0; complain "cannot be made"; return; }
    cd "$top" && cp -r work base && cd work || exit 1
    run=
    "do_$work" >"$top/clean.out" 2>"$top/err" || { kind=clean n=0; complain "fails without a fault"; return; }
    cd "$top" && mv work clean
    for kind in $kinds; do
        how=${kind#*:} stay=
        case $how in *:stay) how=${how%:stay} stay=INJECT_STAY=1 ;; esac
        rm -rf work && cp -r base work && cd work || exit 1
        run="env INJECT_WHAT=${kind%%:*} INJECT_COUNT=$top/count LD_PRELOAD=$shim"
        "do_$work" >"$top/out" 2>"$top/err"
        cd "$top" || exit 1
        count=$(cat "$top/count")
        for n in $(drawn "$count"); do strike "$n"; done
    done
    echo "$name: $tried faults so far, $failed_runs ended the run, $bad wrong"
}
do_resume() { $run "$build/train/sae-train" -q --threads 1 --resume run_1; }

[ $# -gt 0 ] || set -- harvest labels train resume sweep analyze probe absorb ablate splice unlearn \
    autointerp convert convert_npz convert_torch import report
for name; do try_work "$name"; done
[ "$bad" = 0 ] && [ "$tried" -gt 0 ]
