# SPDX-License-Identifier: MIT
"""transformers' side of bench_turns: says "ready", then answers each line "go" with
"seconds processor-seconds value".

    turns_peer.py FOLDER f32|bf16 THREADS B T

The model of FOLDER with eager attention, the one that caps scores. A run takes the tokens of bench_turns
through all layers to the stream; its value is the mean of the squares.
"""
import os
import sys
import time

import torch
import transformers

folder, dtype = sys.argv[1], {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[2]]
threads, B, T = (int(a) for a in sys.argv[3:])
torch.set_num_threads(threads)
transformers.logging.disable_progress_bar()
model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype).eval()
ids = torch.arange(B * T).mul(7919).remainder(model.config.vocab_size).reshape(B, T)
stream = {}
model.layers[-1].register_forward_hook(
    lambda module, inputs, output: stream.update(x=output[0] if isinstance(output, tuple) else output))


def run():
    with torch.no_grad():
        model(ids, use_cache=False)
    return stream["x"].float().square().mean().item()


run()
print(f"ready transformers {transformers.__version__}, PyTorch {torch.__version__}, {os.uname().machine}",
      flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    value = run()
    print(time.perf_counter() - wall, time.process_time() - cpu, value, flush=True)
