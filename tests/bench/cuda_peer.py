# SPDX-License-Identifier: MIT
"""A step of dictionary_learning's TopKTrainer on a CUDA device, beside bench_cuda.

    cuda_peer.py N D M STEPS

Milliseconds of a step for k of 320 and 40: PyTorch's default (f32 products), TF32 products, and
bf16 autocast. Random activations that lie on the device.
"""
import contextlib
import sys
import time

import torch
from dictionary_learning.trainers.top_k import TopKTrainer

n, d, m, steps = (int(a) for a in sys.argv[1:])
batches = torch.randn(4, n, d, device="cuda")


def time_steps(k, tf32, autocast):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    trainer = TopKTrainer(steps=10 * steps, activation_dim=d, dict_size=m, k=k, layer=0,
                          lm_name="none", device="cuda", lr=2e-4, warmup_steps=0)
    around = (lambda: torch.autocast("cuda", torch.bfloat16)) if autocast else contextlib.nullcontext
    begun = 0.0
    for i in range(10 + steps):
        if i == 10:
            torch.cuda.synchronize()
            begun = time.perf_counter()
        with around():
            trainer.update(i, batches[i % 4])
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - begun) / steps


print("PyTorch", torch.__version__, torch.cuda.get_device_name())
for k in (min(320, d // 8), min(40, d // 64)):
    for name, tf32, autocast in (("f32", False, False), ("tf32", True, False), ("bf16", False, True)):
        print(f"k {k:4d}  {name:4s}  step {time_steps(k, tf32, autocast):8.3f} ms", flush=True)
