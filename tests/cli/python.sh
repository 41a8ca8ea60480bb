#!/bin/sh
# SPDX-License-Identifier: MIT
# data/python/saekit.py on files of the programs, and the programs on a store of it.
# Usage: python.sh BUILD_ROOT SOURCE_ROOT
set -eu
build=$1 root=$(realpath "$2")
for python in python3 /usr/bin/python3 ""; do
    [ -n "$python" ] || { echo "numpy or h5py is not there (python3-numpy, python3-h5py)"; exit 77; }
    "$python" -c 'import numpy, h5py' 2>/dev/null && break
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/data/python"
"$build/tests/unit/fixtures/make_store" acts 3000 16 1 ortho 4 >/dev/null
"$build/convert/sae-convert" -q --export-acts acts -o x.npy >/dev/null
train="$build/train/sae-train -q --m 32 --k 4 --batch 64 --heldout-rows 256 --steps 20"
$train --acts acts -o run >/dev/null
for to in z.npy z.safetensors; do
    "$build/convert/sae-convert" -q run/ckpt_100.h5 --export-latents acts -o $to >/dev/null
done
"$build/analyze/sae-analyze" -q --no-charts run >/dev/null
"$python" - <<'END'
import os

import numpy as np
import saekit

x = np.load("x.npy")
acts = saekit.Store("acts")
assert acts.shape == x.shape, acts.shape
assert np.array_equal(acts.rows(), x)
assert np.array_equal(np.concatenate(list(acts.blocks(700))), x)
first = acts.index["shards"][0]["rows"]
assert np.array_equal(acts.rows(first - 3, first + 3), x[first - 3:first + 3]), "across shards"
token = acts.column("token")
assert token.shape == (3000,)

sae = saekit.checkpoint("run/ckpt_100.h5")
assert sae["W_dec"].shape == (32, 16) and int(sae["attrs"]["k"]) == 4
assert sae["record"]["program"] == "sae-train"
assert len(sae["heldout/start"]) == 257
curves = saekit.series("run/ckpt_100.h5")
assert np.isfinite(np.asarray(curves["explained_variance"])).any() and int(np.max(curves["step"])) == 20
metrics = saekit.results("run")
row = metrics.iloc[0] if hasattr(metrics, "iloc") else metrics[0]
assert len(metrics) == 1 and row["type"] and len(row) > 10, row

z = saekit.Latents("z.safetensors")
dense = np.load("z.npy")
assert z.shape == (3000, 32) == dense.shape and np.array_equal(z.dense(), dense)
assert np.array_equal(z.dense(1000, 1007), dense[1000:1007])
assert z.meta["store"] == acts.index["id"] and z.meta["sae"] in str(sae["attrs"]["id"])
want = (x - sae["b_dec"]) @ sae["W_enc"].T + sae["b_enc"]
want[want < np.sort(want, 1)[:, -4:-3]] = 0  # the four largest
assert np.allclose(np.maximum(want, 0), dense, atol=1e-4), np.abs(np.maximum(want, 0) - dense).max()

made = saekit.write_store("mine", x, token=token, layer=3)
assert np.array_equal(made.rows(), x) and np.array_equal(made.column("token"), token)
wide = np.array([[1.00390625, 1.01171875, -3.0, 1e-40]], np.float32)  # halves go to even
assert saekit.round_bf16(wide)[0, :3].tolist() == [1.0, 1.015625, -3.0]
def refused(kind, call):
    try:
        call()
    except kind:
        assert not os.path.exists("bad"), "a refused store is left"
    else:
        raise AssertionError("not refused")


def bits(value):  # a NaN of any sign and payload
    return np.array([[1, value]], np.uint32).view(np.float32)


good = np.ones((4, 2), np.float32)
for bad in (bits(0x7fffffff), bits(0xffffffff), bits(0x7fc00000), bits(0x7f7fffff), bits(0x7f800000),
            good.astype(np.complex64), good.astype(object), good[0], np.zeros((0, 2), np.float32)):
    refused(ValueError, lambda: saekit.write_store("bad", bad))
for name, bad in (("token", [-1, 0, 0, 0]), ("position", [0, 65536, 0, 0]), ("document", [0, 1 / 3, 1, 1]),
                  ("document", [0, 2**32, 0, 0]), ("token", [0, 0, 0])):
    refused(ValueError, lambda: saekit.write_store("bad", good, **{name: bad}))
for nan in (0x7fffffff, 0xffffffff, 0x7f800001):
    assert np.isnan(saekit.round_bf16(bits(nan))[0, 1])
refused(TypeError, lambda: saekit.write_store("bad", good, layer={1}))
for span in ((0, 10**9), (5, 3), (-1, 5)):
    refused(IndexError, lambda: z.dense(*span))
    refused(IndexError, lambda: acts.rows(*span))
try:
    made.column("document")
except KeyError:
    pass
else:
    raise AssertionError("a column that is not there")
END
# the programs take it, and train to the same weights
$train --acts mine -o run_mine >/dev/null
for set in W_enc W_dec b_enc b_dec; do
    h5diff run/ckpt_100.h5 run_mine/ckpt_100.h5 /$set /$set || { echo "$set differs"; exit 1; }
done
"$build/analyze/sae-analyze" -q --no-charts run_mine >/dev/null
