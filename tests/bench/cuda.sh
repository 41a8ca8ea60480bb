#!/bin/sh
# On a machine with an NVIDIA device: installs what is missing, builds, checks and measures what
# docs/CUDA.md owes, in under nine minutes, and writes one page of tables.
#   tests/bench/cuda.sh [PAGE]          build-cuda/cuda.md unless named
#   tests/bench/cuda.sh --dry [PAGE]    small, on the emulated device, with programs already built: tries
#                                       the script; the numbers mean nothing
# PYTHON=python3  one with torch, for its half of the tables, and transformers for that of the language
#                 model; dictionary-learning is fetched if missing
# LAYERS=26       of the language model: 5.2 GB in a temporary folder while it is measured; fewer are quicker
# BUILD=build-cuda   where to build; with --dry, where the programs are
# DEBS=FOLDER     packages for dpkg, where the machine reaches no archive
set -u
cd "$(dirname "$0")/../.." || exit 1
dry=no
[ "${1:-}" = --dry ] && dry=yes && shift
python=${PYTHON:-python3}
build=${BUILD:-build-cuda}
page=${1:-$build/cuda.md}
begun=$(date +%s)
bad=0
say() { echo "== $(($(date +%s) - begun)) s: $*" >&2; }
fail() { echo "cuda.sh: $*" >&2; bad=1; }
stop() { echo "cuda.sh: $*" >&2; exit 1; }

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
        stop "no nvcc, and pip cannot fetch it; install CUDA 13 and put nvcc on the path"
    root=$(cd "$build-nvcc/nvidia/cu13" && pwd) || stop "pip put CUDA somewhere else"
    ln -sfn lib "$root/lib64"
    for library in "$root"/lib/lib*.so.*; do
        ln -sf "$(basename "$library")" "${library%.so.*}.so"
    done
    PATH=$root/bin:$PATH
}

install_all() {
    command -v nvidia-smi >/dev/null || stop "no nvidia-smi: this machine has no NVIDIA driver"
    [ -z "${DEBS:-}" ] || dpkg -i --force-depends "$DEBS"/*.deb >/dev/null || stop "dpkg failed"
    ./packages.sh test || stop "packages are missing; see above"
    find_nvcc
    "$python" -c 'import torch' 2>/dev/null || fail "$python has no torch: its columns stay empty"
    if ! PYTHONPATH=$build-py "$python" -c \
        'import importlib.util as u; exit(not u.find_spec("dictionary_learning"))' 2>/dev/null; then
        "$python" -m pip install -q --no-deps --target "$build-py" dictionary-learning ||
            fail "no dictionary-learning: PyTorch's steps stay empty"
    fi
}

build_all() {
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
    [ -f "$build/build.ninja" ] ||
        meson setup "$build" --buildtype=release -Dcuda=enabled \
            -Dgpu_arch="compute_$arch,sm_$arch" >"$build.log" 2>&1 ||
        { tail -n 20 "$build.log" >&2; stop "meson failed"; }
    ninja -C "$build" tests/ops/checkops tests/bench/bench_cuda tests/bench/bench_paths tests/bench/bench_lm \
        tests/unit/make_store tests/unit/make_ckpt train/sae-train analyze/sae-analyze lib/math/cuda/saecuda.so \
        >"$build.log" 2>&1 || { tail -n 40 "$build.log" >&2; stop "the build failed"; }
}

# A run on the device, twice, and one on the cpu; an analysis on both.
check_programs() {
    "$build/tests/unit/make_store" "$out/acts" >/dev/null || { fail "make_store"; return; }
    for run in "$backend"_1 "$backend"_2 cpu; do
        timeout 60 "$build/train/sae-train" -q --backend "${run%_*}" --acts "$out/acts" --k 4 \
            --steps "$run_steps" --orth progressive --checkpoints 100 -o "$out/$run" >/dev/null ||
            fail "sae-train --backend ${run%_*}"
    done
    cmp "$out/${backend}_1/ckpt_100.h5" "$out/${backend}_2/ckpt_100.h5" ||
        fail "two runs differ"
    for on in "$backend" cpu; do
        timeout 60 "$build/analyze/sae-analyze" -q --backend "$on" --no-charts --top 0 \
            -o "$out/$on.json" "$out/cpu/ckpt_100.h5" >"$out/$on.txt" || fail "sae-analyze on $on"
    done
    diff "$out/$backend.txt" "$out/cpu.txt" >&2 ||
        say "the tables of sae-analyze differ where shown above; last digits may"
}

if [ $dry = yes ]; then
    backend=cpu bench=emulated torch=cpu run_steps=5
    lm="14 2 16" # layers, sequences, tokens of one
    set -- 8 64 128 1
else
    backend=cuda bench=cuda torch=cuda run_steps=200
    lm="${LAYERS:-26} 16 128"
    set -- 2048 2304 16384 "${STEPS:-60}"
    install_all
    say "building"
    build_all
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
say "every operation on the device"
if [ $dry = no ]; then
    timeout 150 "$build/tests/ops/checkops" --backend cuda >"$out/ops" 2>&1
    code=$?
    [ $code = 0 ] || { grep -v ' OK \| RUN ' "$out/ops" | head -n 40 >&2; fail "checkops: $code"; }
fi
say "programs"
check_programs
say "measuring saekit"
timeout 170 "$build/tests/bench/bench_cuda" "$bench" "$@" >"$out/lines" || fail "bench_cuda: $?"
timeout 90 "$build/tests/bench/bench_paths" "$bench" "$@" >>"$out/lines" || fail "bench_paths: $?"
TMPDIR=$out timeout 120 "$build/tests/bench/bench_lm" "$bench" $lm >>"$out/lines" || fail "bench_lm: $?"
say "measuring PyTorch"
if "$python" -c 'import torch' 2>/dev/null; then
    PYTHONPATH=$build-py timeout 150 "$python" tests/bench/cuda_peer.py "$torch" "$@" \
        >>"$out/lines" || fail "cuda_peer.py: $?"
    if "$python" -c 'import transformers' 2>/dev/null; then
        timeout 90 "$python" tests/bench/lm_peer.py "$torch" $lm >>"$out/lines" || fail "lm_peer.py: $?"
    else
        say "$python has no transformers: its column stays empty"
    fi
fi
{
    if [ $dry = yes ]; then
        echo "Dry run on the emulated device: the numbers mean nothing."
    else
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
        "$python" -c 'import torch; print("PyTorch", torch.__version__)' 2>/dev/null
    fi
    echo
    echo "n $1, d $2, m $3; medians of 5 repeats of $4 steps, least and largest in parentheses."
    echo "Language model: layers, sequences and tokens of one: $lm; bf16 factors."
    echo
    awk -f tests/bench/cuda.awk "$out/lines"
} >"$page"
cat "$page"
say "wrote $page$([ $bad = 0 ] || echo '; something failed, see above')"
exit $bad
