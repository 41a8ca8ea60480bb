# SPDX-License-Identifier: MIT
# works : a small run of every program, for the scripts that disturb them (inject.sh, kill.sh, race.sh).
# Sourced, with $build and $root set. Of a work X
#
#   make_X    makes the folder it begins from, in the present one
#   do_X      does it: $run (may be empty) and one command
#   again_X   takes it up after it was disturbed, likewise; equal to do_X where none is defined
#
# and begin_work X leaves in $top: base, the folder it begins from; clean, what an undisturbed run makes
# of it; clean.out, what that prints.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=passive SAE_NO_RESTART=1 LC_ALL=C.UTF-8
unset SOURCE_DATE_EPOCH
top=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'exec 9>&-; rm -rf "$top"' EXIT
trap 'exit 143' INT TERM HUP
run=
shim=$build/tests/inject/libinjectshim.so

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
make_parquet() { cp "$root/tests/golden/parquet/story_1.parquet" .; }
do_parquet() {
    $run "$build/harvest/sae-harvest" -q --threads 1 --model "$model" --layer 2 --text story_1.parquet \
        --tokens 300 --context 32 --shard-rows 120 -o acts
}

make_import_acts() {
    "$build/tests/unit/fixtures/make_store" made 600 16 1 ortho 4 >/dev/null &&
        "$build/convert/sae-convert" -q --export-acts made -o rows.safetensors >/dev/null
}
do_import_acts() {
    $run "$build/harvest/sae-harvest" -q --threads 1 --import rows.safetensors --token-array token \
        --shard-rows 40 -o acts
}

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

make_train() { "$build/tests/unit/fixtures/make_store" acts 1500 16 1 ortho 4 >/dev/null; }
do_train() {
    $run "$build/train/sae-train" -q --threads 1 --acts acts $small --steps 16 --save-every 5 \
        --orth progressive --pairs 4 --continue -o run_1
}
make_sweep() { make_train; }
do_sweep() {
    $run "$build/train/sae-train" -q --threads 1 --acts acts $small --steps 6 --seed 1,2 --continue \
        -o sweep
}
# A run that ended in the middle, so that --resume is what is disturbed.
make_resume() {
    make_train
    run="env INJECT_WHAT=rename INJECT_HOW=EIO INJECT_AT=4 LD_PRELOAD=$shim"
    do_train >/dev/null 2>&1 && return 1
    [ -e run_1/ckpt_00.h5 ] && [ ! -e run_1/ckpt_100.h5 ]
}
do_resume() { $run "$build/train/sae-train" -q --threads 1 --resume run_1; }
again_resume() { do_train; }

make_run() {
    make_train
    run= do_train >/dev/null
}
make_analyze() { make_run; }
do_analyze() { $run "$build/analyze/sae-analyze" -q --threads 1 --sample 8 run_1; }

make_match() {
    make_train
    run= do_sweep >/dev/null
}
do_match() { $run "$build/match/sae-match" -q --threads 1 sweep; }

make_convert() { make_run; }
do_convert() { $run "$build/convert/sae-convert" -q run_1 -o lens; }
again_convert() { $run "$build/convert/sae-convert" -q --force run_1 -o lens; }
make_convert_npz() {
    make_train
    "$build/train/sae-train" -q --threads 1 --acts acts --arch standard --m 32 --batch 64 \
        --heldout-rows 256 --steps 6 -o run_1 >/dev/null
}
do_convert_npz() { $run "$build/convert/sae-convert" -q run_1 -o sae.npz; }
again_convert_npz() { $run "$build/convert/sae-convert" -q --force run_1 -o sae.npz; }
make_convert_torch() { make_run; }
do_convert_torch() { $run "$build/convert/sae-convert" -q --to dictionary_learning run_1 -o dict; }
again_convert_torch() {
    $run "$build/convert/sae-convert" -q --force --to dictionary_learning run_1 -o dict
}
make_export_acts() { make_train; }
do_export_acts() { $run "$build/convert/sae-convert" -q --export-acts acts -o rows.npy; }
again_export_acts() { $run "$build/convert/sae-convert" -q --force --export-acts acts -o rows.npy; }
make_export_latents() { make_run; }
do_export_latents() { $run "$build/convert/sae-convert" -q --threads 1 run_1 --export-latents acts -o z.safetensors; }
again_export_latents() {
    $run "$build/convert/sae-convert" -q --threads 1 --force run_1 --export-latents acts -o z.safetensors
}
make_import() { cp -r "$root/tests/golden/sae/lens_topk" lens && cp -r "$root/tests/golden/sae/dict_topk" dict; }
do_import() { $run "$build/convert/sae-convert" -q dict -o sae.h5; }
again_import() { $run "$build/convert/sae-convert" -q --force dict -o sae.h5; }

make_probe() { "$build/tests/unit/fixtures/eval_make" .; }
do_probe() {
    $run "$build/probe/sae-probe" -q --threads 1 --k 1 --seeds 42 --no-full --train-size 40 \
        --test-size 10 run_1
}
make_absorb() { "$build/tests/unit/fixtures/eval_make" .; }
do_absorb() { $run "$build/absorb/sae-absorb" -q --threads 1 --max-k 2 run_1; }

make_splice() {
    make_texts
    run= do_harvest >/dev/null
    "$build/train/sae-train" -q --threads 1 --acts acts $small --batch 32 --heldout-rows 64 --steps 6 \
        -o run_1 >/dev/null
}
do_splice() {
    $run "$build/splice/sae-splice" -q --threads 1 --skip 0 --contexts 3 --context 32 --batch 1 run_1
}

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

make_report() { "$build/tests/unit/fixtures/report_make" .; rm -r run_3; }
do_report() { $run "$build/report/sae-report" run_1 run_2; }

make_autointerp() { "$build/tests/unit/fixtures/autointerp_make" . "$model" >words; }
do_autointerp() {
    $run "$build/autointerp/sae-autointerp" -q --threads 1 --parallel 1 --llm none \
        --api-base "$chat" run_1
}
chat=
start_chat() { # the endpoint that answers as told; it ends with this script
    [ -z "$chat" ] || return 0
    mkfifo "$top/hold"
    "$build/tests/unit/fixtures/chat_server" "$top/port" <"$top/hold" &
    exec 9>"$top/hold"
    for _ in $(seq 100); do [ -s "$top/port" ] && break; sleep 0.1; done
    chat=http://127.0.0.1:$(cat "$top/port")/v1
    export NO_PROXY='*'
    unset OPENAI_API_KEY http_proxy HTTP_PROXY all_proxy ALL_PROXY
}

for file in "$root"/tests/inject/works_*.sh; do # of programs in files of their own
    [ ! -e "$file" ] || . "$file"
done
works() { declare -F | sed -n 's/^declare -f do_//p'; } # all of the above

# --- what they leave -----------------------------------------------------------------------------

# Temporary files, locks and states of unfinished work are no final names.
is_final() {
    case "$1" in
    *.part | *.part.* | *.part-* | *part.json | *.tmp | *.tmp.* | *.lock | */state.h5* | */.*) return 1 ;;
    esac
}

# Files of $1 under a final name that are not those of the clean run.
other_files() {
    local file
    (cd "$1" && find . -type f) | while read -r file; do
        is_final "$file" || continue
        if [ ! -e "$top/clean/$file" ]; then
            echo "$file is left"
        elif ! cmp -s "$top/clean/$file" "$1/$file"; then
            echo "$file is not the clean run's"
        fi
    done
}

# How folder $2 differs from $1, but for locks and for what a process that was killed could not remove.
# What lies beside a store only to save time may lack.
tree_differs() {
    diff -rq "$1" "$2" 2>&1 | while read -r line; do
        case $line in
        "Only in $2"*)
            at=${line#Only in "$2"}
            is_final "./${at/: //}" || continue ;;
        "Only in $1"*acts": reference" | "Only in $1"*acts/reference": "*) continue ;;
        "Only in $1"*acts": words.truth_"*) continue ;;
        "Only in "*.lock) continue ;;
        esac
        echo "$line"
    done | head -n 3
}

again() { # NAME
    if declare -F "again_$1" >/dev/null; then "again_$1"; else "do_$1"; fi
}

begin_work() { # NAME
    rm -rf "$top/base" "$top/clean" "$top/work"
    mkdir "$top/work" && cd "$top/work" || exit 1
    [ "$1" != autointerp ] || start_chat
    run=
    "make_$1" >"$top/out" 2>"$top/err" || { echo "$1 cannot be made: $(cat "$top/err")"; return 1; }
    cd "$top" && cp -r work base && cd work || exit 1
    run=
    "do_$1" >"$top/clean.out" 2>"$top/err" || { echo "$1 fails: $(cat "$top/err")"; return 1; }
    cd "$top" && mv work clean
}
copy_base() {
    rm -rf "$top/work" && cp -r "$top/base" "$top/work" && cd "$top/work" || exit 1
}
