#!/bin/sh
# On a machine with an NVIDIA device: builds, and measures what docs/CUDA.md owes.
#   tests/bench/cuda.sh [PYTHON]     a Python with torch and dictionary-learning, for its half
# Read beside it docs/CUDA.md; the floor of a step is the larger of its products at the device's rate
# plus its bytes at the rate of its memory.
set -eu
cd "$(dirname "$0")/../.."
steps=${STEPS:-100}
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv,noheader
meson setup build-cuda --buildtype=release -Dcuda=enabled >/dev/null 2>&1 ||
    meson configure build-cuda >/dev/null
ninja -C build-cuda
echo "== steps"
build-cuda/tests/bench/bench_cuda cuda 2048 2304 16384 "$steps"
build-cuda/tests/bench/bench_cuda cuda 2048 512 8192 "$steps"
if [ -n "${1:-}" ]; then
    echo "== PyTorch"
    "$1" tests/bench/cuda_peer.py 2048 2304 16384 "$steps"
    "$1" tests/bench/cuda_peer.py 2048 512 8192 "$steps"
fi
echo "== one run on the device, twice, and one on the cpu: equal checkpoints, close losses"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
build-cuda/tests/unit/make_store "$out/acts"
for run in cuda_1 cuda_2 cpu; do
    build-cuda/train/sae-train --backend "${run%_*}" --acts "$out/acts" --k 4 --steps 200 \
        --orth progressive --checkpoints 100 -o "$out/$run"
done
cmp "$out/cuda_1/ckpt_100.h5" "$out/cuda_2/ckpt_100.h5" && echo "the two runs are equal"
