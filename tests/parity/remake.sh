#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the tables of docs/PARITY.md anew, with the Python packages they take in an environment of
# their own (some gigabytes: PyTorch's package brings its libraries for GPUs along).
#
# usage: tests/parity/remake.sh [families] [saebench] [speed]      default: families saebench
#   families   every family of language models beside transformers
#   saebench   every metric beside SAEBench's own code; makes a store and three
#              autoencoders in build/parity
#   speed      whole programs beside SAEBench's functions; after saebench
#
# VENV=FOLDER names the environment (build/parity-venv), TORCH the package to install, such as a
# wheel without CUDA (torch).
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- families saebench
venv=${VENV:-build/parity-venv}
python=$venv/bin/python3
[ -x "$python" ] || python3 -m venv "$venv"
"$python" -c 'import h5py, sae_bench, torch, transformers' 2>/dev/null ||
    "$venv/bin/pip" install "${TORCH:-torch}" transformers h5py sae-bench==0.6.0
[ -f build/build.ninja ] || meson setup build --buildtype=release
status=0
for table; do
    case "$table" in
    families)
        ninja -C build tests/golden/golden_lm_families >/dev/null
        "$python" tests/parity/families.py || status=1
        ;;
    saebench)
        ninja -C build programs >/dev/null
        "$python" tests/parity/parity.py || status=1
        ;;
    speed) "$python" tests/parity/speed.py || status=1 ;;
    *)
        echo "remake.sh: found '$table', expected families, saebench or speed" >&2
        exit 2
        ;;
    esac
done
exit $status
