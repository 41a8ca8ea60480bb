# SPDX-License-Identifier: MIT
"""transformers' side of bench_lm, in its lines, each key with "torch " before it.

    lm_peer.py DEVICE L B T

Gemma2ForCausalLM of L layers at the widths of gemma-2-2b, random weights in bf16, with eager attention,
the one that caps scores. Harvesting: layers 0 to 12 and the stream back on the host in f32. A whole
pass: the cross-entropy of every token on the device. DEVICE is cuda, or cpu to try the script on
narrow widths.
"""
import sys
import time

import torch

try:
    from transformers import AutoModelForCausalLM, Gemma2Config
except ImportError as error:
    sys.exit(f"lm_peer.py: transformers is not there, so its column stays empty: {error}")

device = sys.argv[1]
L, B, T = (int(a) for a in sys.argv[2:])
cuda = device == "cuda"
REPEATS, WARM, PASSES, LAYER = 5, 3, 20 if cuda else 1, min(12, L - 1)
WIDE = dict(vocab_size=256000, hidden_size=2304, intermediate_size=9216, num_attention_heads=8,
            num_key_value_heads=4, head_dim=256, query_pre_attn_scalar=256, sliding_window=4096,
            max_position_embeddings=8192)
NARROW = dict(vocab_size=512, hidden_size=64, intermediate_size=128, num_attention_heads=4,
              num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16, sliding_window=8,
              max_position_embeddings=64)


def settle():
    if cuda:
        torch.cuda.synchronize()


def report(key, run):
    """Tokens a second of run(), after passes that warm up."""
    for _ in range(WARM):
        run()
    rates = []
    for _ in range(REPEATS):
        settle()
        since = time.perf_counter()
        for _ in range(PASSES):
            run()
        settle()
        rates.append(PASSES * B * T / (time.perf_counter() - since))
    print(f"torch lm {key}\t" + " ".join(f"{r:.6g}" for r in rates), flush=True)


class Tapped(Exception):
    """Ends a pass at the tap, which has the stream."""


def tap(module, inputs, output):
    stream = output[0] if isinstance(output, tuple) else output
    raise Tapped(stream)


def harvest():
    hook = model.model.layers[LAYER].register_forward_hook(tap)
    try:
        model.model(ids, use_cache=False)
    except Tapped as tapped:
        return tapped.args[0].float().cpu()
    finally:
        hook.remove()


def whole_pass():
    logits = model(ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(),
                                             reduction="none").cpu()


config = Gemma2Config(num_hidden_layers=L, **(WIDE if cuda else NARROW))
with torch.device(device):
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
model = model.to(device, torch.bfloat16).eval()
ids = torch.randint(config.vocab_size, (B, T), device=device)
with torch.no_grad():
    assert harvest().shape == (B, T, config.hidden_size)
    report("harvesting", harvest)
    assert whole_pass().isfinite().all()
    report("whole pass with CE", whole_pass)
