# SPDX-License-Identifier: MIT
"""PyTorch's side of cuda.sh, in the lines of bench_cuda, each key with "torch " before it.

    cuda_peer.py DEVICE N D M STEPS

A step of dictionary_learning's TopKTrainer, as it stands, for k of 320 and 40: PyTorch's default
(f32 products), TF32 products, and bf16 autocast. Histogram of pairwise cosines with each row's
nearest neighbour, and eigenvalues of the Gram matrix in double. Everything lies on the device.
DEVICE is cuda, or cpu to try the script.
"""
import contextlib
import sys
import time

import torch

from trainers import load_top_k

device = sys.argv[1]
n, d, m, steps = (int(a) for a in sys.argv[2:])
REPEATS, WARM, BINS = 5, 10, 2000
batches = torch.randn(4, n, d, device=device)


def settle():
    if device == "cuda":
        torch.cuda.synchronize()


def report(key, run, count=1):
    """Milliseconds of run(), which does its work `count` times, after one that warms up."""
    times = []
    for repeat in range(REPEATS + 1):
        settle()
        since = time.perf_counter()
        run()
        settle()
        if repeat > 0:
            times.append(1e3 * (time.perf_counter() - since) / count)
    print(f"torch {key}\t" + " ".join(f"{t:.6g}" for t in times), flush=True)


def steps_of(k, tf32, autocast):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    trainer = load_top_k()(steps=100 * steps, activation_dim=d, dict_size=m, k=k, layer=0,
                           lm_name="none", device=device, lr=2e-4, warmup_steps=0)
    done = 0

    def run():
        nonlocal done
        for _ in range(steps):
            with torch.autocast(device, torch.bfloat16) if autocast else contextlib.nullcontext():
                trainer.update(done, batches[done % 4])
            done += 1
    return run


def histogram(U):
    hist = torch.zeros(BINS, device=device)
    for i in range(0, m, 512):
        rows = U[i:i + 512] @ U.T
        own = torch.arange(len(rows), device=device)
        rows[own, own + i] = -2
        rows.max(1)
        hist += torch.histc(torch.triu(rows + 2, i + 1), BINS, 1, 3)
    return hist


U = torch.nn.functional.normalize(torch.randn(m, d, device=device))
torch.backends.cuda.matmul.allow_tf32 = False
report("hist", lambda: histogram(U))
report("spectrum", lambda: torch.linalg.eigvalsh(U.double().T @ U.double()))
for k in (min(320, max(1, d // 8)), min(40, max(1, d // 64))):
    for name, tf32, autocast in (("f32", False, False), ("tf32", True, False),
                                 ("bf16", False, True)):
        try:
            report(f"step k={k} {name}", steps_of(k, tf32, autocast), steps)
        except ImportError as error:
            sys.exit(f"cuda_peer.py: no steps: {error}")
