#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Logits of a real model in a GGUF file beside transformers, which loads the same dequantised weights.

    tests/parity/real.py --predict build/tests/parity/predict MODEL.gguf TEXT [-T 256]

Prints the mean cross-entropy of both, the largest difference of a logit, at how many positions the most
likely next token is the same.
Needs torch, transformers and gguf; it is no part of ./test.sh."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("text")
    p.add_argument("--predict", required=True)
    p.add_argument("-T", type=int, default=256)
    args = p.parse_args()
    T = args.T
    with tempfile.TemporaryDirectory() as where:
        out = os.path.join(where, "out")
        subprocess.run([args.predict, args.model, args.text, str(T), out], check=True)
        raw = np.fromfile(out, dtype="<u4", count=T + 1)
        ids, V = raw[:T], int(raw[T])
        own = torch.from_numpy(np.fromfile(out, dtype="<f4", offset=4 * (T + 1)).reshape(T, V))
    model = AutoModelForCausalLM.from_pretrained(os.path.dirname(os.path.abspath(args.model)),
                                                 gguf_file=os.path.basename(args.model), dtype=torch.float32,
                                                 attn_implementation="eager")
    x = torch.from_numpy(ids.astype(np.int64))[None]
    with torch.no_grad():
        peer = model(x).logits[0].float()
    n = min(V, peer.shape[1])
    own, peer = own[:, :n], peer[:, :n]
    ce = [torch.nn.functional.cross_entropy(y[:-1].double(), x[0, 1:]).item() for y in (own, peer)]
    same = int((own.argmax(-1) == peer.argmax(-1)).sum())
    print(f"| {os.path.basename(args.model)} | {T} | {ce[0]:.6f} | {ce[1]:.6f} | {abs(ce[0] - ce[1]):.1e} | "
          f"{(own - peer).abs().max():.1e} | {same} of {T} |")
    return abs(ce[0] - ce[1]) > 1e-4 or same != T


if __name__ == "__main__":
    sys.exit(main())
