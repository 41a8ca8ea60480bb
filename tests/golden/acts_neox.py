#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Activations of a small GPT-NeoX as PyTorch saves them, for tests/cli/pytorch.sh.

    acts_neox.py GOLDEN

writes GOLDEN/acts/neox/ (a random model of Pythia's family in bf16, whose tokenizer is lm_tok/neox.json),
GOLDEN/acts/neox.pt (rows, token, position; the script of docs/FORMATS.md), and the same few rows in the
other forms that torch.save is given: a bare tensor and a dict of one, in bf16, f16 and f32, and what holds
no rows. Made with transformers 5.24 and torch 2.15."""
import os
import sys

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

golden = sys.argv[1]
out = f"{golden}/acts"
os.makedirs(out, exist_ok=True)
torch.manual_seed(3)
model = GPTNeoXForCausalLM(GPTNeoXConfig(
    vocab_size=457, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64, bos_token_id=0, eos_token_id=0, rotary_pct=0.25))
for p in model.parameters():
    p.data.normal_(0, 0.3)
model.bfloat16().save_pretrained(f"{out}/neox")
os.remove(f"{out}/neox/generation_config.json")
text = " ".join(f"In the year {i} the people went down to the river, and number {i * 7 % 100} sat there."
                for i in range(26))
ids = torch.tensor(Tokenizer.from_file(f"{golden}/lm_tok/neox.json").encode(text).ids)

# From here on as in docs/FORMATS.md
layer, bos, context = 0, 0, 48
model = AutoModelForCausalLM.from_pretrained(f"{out}/neox", dtype=torch.float32).eval()
rows, token = [], []
model.gpt_neox.layers[layer].register_forward_hook(
    lambda module, x, y: rows.append((y[0] if isinstance(y, tuple) else y)[:, 1:].flatten(0, 1)))
with torch.no_grad():
    for part in ids[: len(ids) // (context - 1) * (context - 1)].view(-1, context - 1).split(16):
        model(torch.cat([torch.full((len(part), 1), bos), part], 1))
        token.append(part.flatten())
rows, token = torch.cat(rows), torch.cat(token)
torch.save({"rows": rows.bfloat16(), "token": token}, f"{out}/neox.pt")

few = rows[:20].clone()
for name, kind in [("bf16", torch.bfloat16), ("f16", torch.float16), ("f32", torch.float32)]:
    torch.save(few.to(kind), f"{out}/bare_{name}.pt")
    torch.save({"acts": few.to(kind)}, f"{out}/dict_{name}.pt")
torch.save([1, "two"], f"{out}/list.pt")
torch.save(few.long(), f"{out}/whole.pt")
torch.save(few[5:15], f"{out}/view.pt")  # of a larger storage
torch.save(few.T, f"{out}/turned.pt")
print(rows.shape, rows.abs().max())
