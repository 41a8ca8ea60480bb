#!/bin/sh
# On a machine with an NVIDIA device: checks and measures what docs/CUDA.md owes, in parts, and
# writes one page of tables. The page is written again after every part, so that a call that is cut
# off loses the part it was in and no other; a later call adds the parts that are missing.
#
#   tests/bench/cuda.sh [PART ...]              installs what is missing, builds, runs the parts
#   tests/bench/cuda.sh --built DIR [PART ...]  programs of DIR, a build folder or a bundle: nothing is
#                                               installed or built; for machines without a network
#   tests/bench/cuda.sh --bundle DIR            of the build folder: programs, module and their libraries
#                                               in DIR, to take to such a machine; runs nothing
#   tests/bench/cuda.sh --dry [PART ...]        small, on the emulated device, with the programs of BUILD:
#                                               tries the script; the numbers mean nothing
#
# PARTS, in this order where none is named, each with a limit of its own (seconds):
#   checks 270   every operation, trainers against PyTorch's vectors, the language model, whole programs
#   steps 170    bench_cuda: peaks, steps, analyses
#   paths 150    bench_paths: ways to take a step
#   lm 120       bench_lm: the language model
#   peer 240     PyTorch and transformers, where PYTHON has them
#
# PAGE=FILE          the page; default BUILD/cuda.md
# BUILD=build-cuda   where to build; with --dry and --bundle, where the programs are
# PYTHON=python3     one with torch, and transformers for the language model; dictionary-learning is
#                    fetched if missing and there is a network
# LAYERS=26          of the language model: 5.2 GB in a temporary folder while it is measured
# DEBS=FOLDER        packages for dpkg, where the machine reaches no archive
set -u
cd "$(dirname "$0")/../.." || exit 1
mode=install
case "${1:-}" in
--dry) mode=dry && shift ;;
--built) mode=built && built=${2:?"cuda.sh: --built DIR"} && shift 2 ;;
--bundle) mode=bundle && bundle=${2:?"cuda.sh: --bundle DIR"} && shift 2 ;;
-*) sed -n '2,30s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
parts=${*:-checks steps paths lm peer}
python=${PYTHON:-python3}
build=${built:-${BUILD:-build-cuda}}
page=${PAGE:-$build/cuda.md}
kept=$page.parts
begun=$(date +%s)
bad=0
say() { echo "== $(($(date +%s) - begun)) s: $*" >&2; }
fail() { echo "cuda.sh: $*" | tee -a "$kept/$part.log" >&2; bad=1; }
stop() { echo "cuda.sh: $*" >&2; exit 1; }

# --- installing and building -----------------------------------------------------------------------

# Compiler: on the path, where NVIDIA's packages put it, else from pip into the build folder. There
# libraries have no names without a version, and their folder is lib.
find_nvcc() {
    for nvcc in "$(command -v nvcc)" /usr/local/cuda/bin/nvcc; do
        [ -x "$nvcc" ] && PATH=$(dirname "$nvcc"):$PATH && return
    done
    say "no nvcc: fetching CUDA 13.0 with pip"
    "$python" -m pip install -q --target "$build-nvcc" 'nvidia-cuda-nvcc==13.0.*' \
        'nvidia-nvvm==13.0.*' 'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-runtime==13.0.*' \
        'nvidia-cuda-cccl==13.0.*' 'nvidia-cublas==13.*' 'nvidia-cusolver==12.*' ||
        stop "no nvcc, and pip cannot fetch it; install CUDA 13 and put nvcc on the path, or bring \
a bundle and name it with --built"
    root=$(cd "$build-nvcc/nvidia/cu13" && pwd) || stop "pip put CUDA somewhere else"
    ln -sfn lib "$root/lib64"
    for library in "$root"/lib/lib*.so.*; do
        ln -sf "$(basename "$library")" "${library%.so.*}.so"
    done
    PATH=$root/bin:$PATH
}

install_all() {
    [ -z "${DEBS:-}" ] || dpkg -i --force-depends "$DEBS"/*.deb >/dev/null || stop "dpkg failed"
    ./packages.sh test || stop "packages are missing, see above; on a machine without a network bring \
a bundle and name it with --built"
    find_nvcc
    "$python" -c 'import torch' 2>/dev/null || say "$python has no torch: its columns stay empty"
    if ! PYTHONPATH=$build-py "$python" -c \
        'import importlib.util as u; exit(not u.find_spec("dictionary_learning"))' 2>/dev/null; then
        "$python" -m pip install -q --no-deps --target "$build-py" dictionary-learning ||
            say "no dictionary-learning: PyTorch's steps stay empty"
    fi
}

programs="tests/ops/checkops tests/ops/checklm tests/golden/test_trainers tests/unit/test_train_device
 tests/unit/test_model tests/unit/test_lm_device tests/unit/test_analyze_device
 tests/bench/bench_cuda tests/bench/bench_paths tests/bench/bench_lm tests/unit/fixtures/make_store
 tests/unit/fixtures/make_ckpt train/sae-train analyze/sae-analyze"

build_all() {
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
    [ -f "$build/build.ninja" ] ||
        meson setup "$build" --buildtype=release -Dcuda=enabled \
            -Dgpu_arch="compute_$arch,sm_$arch" >"$build.log" 2>&1 ||
        { tail -n 20 "$build.log" >&2; stop "meson failed"; }
    # shellcheck disable=SC2086
    ninja -C "$build" $programs lib/math/cuda/saecuda.so >"$build.log" 2>&1 ||
        { tail -n 40 "$build.log" >&2; stop "the build failed"; }
}

# Programs at their places of the build folder, and every library that they load but for those of
# the C library, which has to fit the kernel's loader, and of the driver.
make_bundle() {
    mkdir -p "$bundle/libraries" || stop "cannot make '$bundle'"
    for program in $programs lib/math/cuda/saecuda.so; do
        [ -f "$build/$program" ] || stop "'$build/$program' is not built"
    done
    for program in $programs lib/math/cuda/saecuda.so; do
        mkdir -p "$bundle/$(dirname "$program")"
        cp "$build/$program" "$bundle/$program"
        ldd "$build/$program"
    done | sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p' | sort -u |
        grep -v -E '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libcuda)\.so' |
        while read -r library; do cp -L "$library" "$bundle/libraries/"; done
    du -sh "$bundle" >&2
    say "take '$bundle' and the source tree along; there: tests/bench/cuda.sh --built DIR"
}

# --- parts -----------------------------------------------------------------------------------------

# A test, its name and limit first: a line on the page, and what it printed where it fails.
check() {
    name=$1 limit=$2
    shift 2
    SAE_SOURCE_ROOT=$PWD timeout "$limit" "$@" >"$out/$name" 2>&1
    code=$?
    case $code in
    0) echo "- $name: passed" >>"$kept/checks.log" ;;
    124) fail "$name: not done after $limit s" ;;
    *) fail "$name: ended with $code"
        grep -v ' OK \| RUN ' "$out/$name" | head -n 40 | tee -a "$kept/checks.log" >&2 ;;
    esac
}

# A run on the device, twice, and one on the cpu; an analysis on both.
check_programs() {
    "$build/tests/unit/fixtures/make_store" "$out/acts" >/dev/null || { fail "make_store"; return; }
    for run in "$backend"_1 "$backend"_2 cpu; do
        check "sae-train-$run" 60 "$build/train/sae-train" -q --backend "${run%_*}" \
            --acts "$out/acts" --k 4 --steps "$run_steps" --orth progressive --checkpoints 100 \
            -o "$out/$run"
    done
    cmp "$out/${backend}_1/ckpt_100.h5" "$out/${backend}_2/ckpt_100.h5" || fail "two runs differ"
    for on in "$backend" cpu; do
        timeout 60 "$build/analyze/sae-analyze" -q --backend "$on" --no-charts --top 0 \
            -o "$out/$on.json" "$out/cpu/ckpt_100.h5" >"$out/$on.txt" || fail "sae-analyze on $on"
    done
    diff "$out/$backend.txt" "$out/cpu.txt" >&2 ||
        say "the tables of sae-analyze differ where shown above; last digits may"
}

run_checks() {
    on=${backend#cpu}
    on=${on:+--backend $on} # --dry: the emulated device
    # shellcheck disable=SC2086
    {
        check checklm 30 "$build/tests/ops/checklm" $on
        check test_model 30 "$build/tests/unit/test_model" $on
        check test_analyze_device 30 "$build/tests/unit/test_analyze_device" $on
        if [ $mode != dry ]; then # on the emulated device these are tests of their own
            check test_lm_device 60 "$build/tests/unit/test_lm_device" $on
            check trainers 60 "$build/tests/golden/test_trainers" cuda $on
            check test_train_device 60 "$build/tests/unit/test_train_device" $on
            check checkops 150 "$build/tests/ops/checkops" $on
        fi
    }
    check_programs
}

run_steps() {
    timeout 170 "$build/tests/bench/bench_cuda" $bench $shape >>"$kept/steps.lines" ||
        fail "bench_cuda: $?"
}

run_paths() {
    timeout 150 "$build/tests/bench/bench_paths" $bench $shape >>"$kept/paths.lines" ||
        fail "bench_paths: $?"
}

run_lm() {
    TMPDIR=$out timeout 120 "$build/tests/bench/bench_lm" $bench $lm >>"$kept/lm.lines" ||
        fail "bench_lm: $?"
}

run_peer() {
    "$python" -c 'import torch' 2>/dev/null ||
        { say "$python has no torch: its columns stay empty"; return; }
    PYTHONPATH=$build-py timeout 150 "$python" tests/bench/cuda_peer.py $torch $shape \
        >>"$kept/peer.lines" || fail "cuda_peer.py: $?"
    "$python" -c 'import transformers' 2>/dev/null ||
        { say "$python has no transformers: its column stays empty"; return; }
    timeout 90 "$python" tests/bench/lm_peer.py $torch $lm >>"$kept/peer.lines" ||
        fail "lm_peer.py: $?"
}

# --- the page --------------------------------------------------------------------------------------

write_page() {
    {
        if [ $mode = dry ]; then
            echo "Dry run on the emulated device: the numbers mean nothing."
        else
            nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
            "$python" -c 'import torch; print("PyTorch", torch.__version__)' 2>/dev/null
        fi
        echo
        echo "$shape" | {
            read -r n d m steps
            echo "n $n, d $d, m $m; medians of 5 repeats of $steps steps, least and largest in parentheses."
        }
        echo "Language model: layers, sequences and tokens of one: $lm; bf16 factors."
        echo
        cat "$kept"/*.log
        echo
        cat "$kept"/*.lines | awk -f tests/bench/cuda.awk
    } >"$page.new" 2>/dev/null
    mv "$page.new" "$page"
}

case $mode in
dry)
    backend=cpu bench=emulated torch=cpu run_steps=5
    lm="14 2 16" # layers, sequences, tokens of one
    shape="8 64 128 1"
    ;;
*)
    backend=cuda bench=cuda torch=cuda run_steps=200
    lm="${LAYERS:-26} 16 128"
    shape="2048 2304 16384 ${STEPS:-60}"
    ;;
esac
[ $mode = bundle ] && { make_bundle; exit; }
if [ $mode != dry ]; then
    command -v nvidia-smi >/dev/null || stop "no nvidia-smi: this machine has no NVIDIA driver"
fi
if [ $mode = install ]; then
    install_all
    say "building"
    build_all
fi
[ -d "$build/libraries" ] && [ $mode = built ] &&
    export LD_LIBRARY_PATH="$build/libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir -p "$kept" || stop "cannot write '$kept'"
for part in $parts; do
    case $part in
    checks | steps | paths | lm | peer) ;;
    *) stop "no part '$part': expected checks, steps, paths, lm or peer" ;;
    esac
done
for part in $parts; do
    say "$part"
    : >"$kept/$part.lines"
    : >"$kept/$part.log"
    "run_$part"
    write_page
done
cat "$page"
say "wrote $page$([ $bad = 0 ] || echo '; something failed, see above')"
exit $bad
