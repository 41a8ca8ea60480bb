"""Gemma-2 architecture in plain PyTorch, with Hugging Face tensor names.

All arithmetic is float32 unless compute=torch.bfloat16 is asked for, in which
case only the matrix products (inputs and outputs) are bfloat16.
"""
import json
import math
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

TINY_G2 = {
    "architectures": ["Gemma2ForCausalLM"],
    "model_type": "gemma2",
    "vocab_size": 8192,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 48,
    "query_pre_attn_scalar": 48,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "use_cache": True,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}


def shapes(c):
    """Tensor names and shapes in model order."""
    d, f, q, k = (c["hidden_size"], c["intermediate_size"],
                  c["num_attention_heads"] * c["head_dim"],
                  c["num_key_value_heads"] * c["head_dim"])
    out = {"model.embed_tokens.weight": (c["vocab_size"], d)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = (d,)
        out[p + "self_attn.q_proj.weight"] = (q, d)
        out[p + "self_attn.k_proj.weight"] = (k, d)
        out[p + "self_attn.v_proj.weight"] = (k, d)
        out[p + "self_attn.o_proj.weight"] = (d, q)
        out[p + "post_attention_layernorm.weight"] = (d,)
        out[p + "pre_feedforward_layernorm.weight"] = (d,)
        out[p + "mlp.gate_proj.weight"] = (f, d)
        out[p + "mlp.up_proj.weight"] = (f, d)
        out[p + "mlp.down_proj.weight"] = (d, f)
        out[p + "post_feedforward_layernorm.weight"] = (d,)
    out["model.norm.weight"] = (d,)
    return out


def rms(x, w, eps):
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (1.0 + w)


def tanh(x, compute):
    # with bfloat16 products an absolute error of 1e-7 does not matter, and the
    # exponential form is faster in generated code
    return torch.tanh(x) if compute == torch.float32 else 2.0 * torch.sigmoid(2.0 * x) - 1.0


def gelu(x, compute):
    if compute == torch.float32:
        return F.gelu(x, approximate="tanh")
    return x * torch.sigmoid(2.0 * 0.7978845608028654 * (x + 0.044715 * x * x * x))


def tables(c, t):
    """RoPE cos and sin [t, head_dim/2], and one additive-free mask per layer kind."""
    half = c["head_dim"] // 2
    inv = 1.0 / (c["rope_theta"] ** (torch.arange(0, half, dtype=torch.float32) * 2 / c["head_dim"]))
    angle = torch.arange(t, dtype=torch.float32)[:, None] * inv[None, :]
    i, j = torch.arange(t)[:, None], torch.arange(t)[None, :]
    full = j <= i
    return torch.cos(angle), torch.sin(angle), full, full & (j > i - c["sliding_window"])


def rotate(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def blocks(p, c, ids, tab, compute=torch.float32, resid=None):
    """Residual stream after the last block; resid (a list) collects each block's."""
    cos, sin, full, local = tab
    b, t = ids.shape
    h, k, d, eps = (c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"], c["rms_norm_eps"])
    cap = c["attn_logit_softcapping"]

    def lin(x, w):
        return F.linear(x.to(compute), w.to(compute))

    x = F.embedding(ids, p["model.embed_tokens.weight"]) * math.sqrt(c["hidden_size"])
    for i in range(c["num_hidden_layers"]):
        n = f"model.layers.{i}."
        y = rms(x, p[n + "input_layernorm.weight"], eps)
        q = lin(y, p[n + "self_attn.q_proj.weight"]).view(b, t, h, d).transpose(1, 2)
        kk = lin(y, p[n + "self_attn.k_proj.weight"]).view(b, t, k, d).transpose(1, 2)
        v = lin(y, p[n + "self_attn.v_proj.weight"]).view(b, t, k, d).transpose(1, 2)
        q = rotate(q, cos, sin).to(compute)
        kk = rotate(kk, cos, sin).to(compute).repeat_interleave(h // k, 1)
        v = v.repeat_interleave(h // k, 1)
        z = (q @ kk.transpose(-1, -2)).float() * c["query_pre_attn_scalar"] ** -0.5
        z = cap * tanh(z / cap, compute)
        z = z.masked_fill(~(local if i % 2 == 0 else full), float("-inf"))
        o = (torch.softmax(z, -1).to(compute) @ v).transpose(1, 2).reshape(b, t, h * d)
        x = x + rms(lin(o, p[n + "self_attn.o_proj.weight"]), p[n + "post_attention_layernorm.weight"], eps)
        y = rms(x, p[n + "pre_feedforward_layernorm.weight"], eps)
        g = gelu(lin(y, p[n + "mlp.gate_proj.weight"]).float(), compute)
        u = lin(y, p[n + "mlp.up_proj.weight"]).float()
        x = x + rms(lin(g * u, p[n + "mlp.down_proj.weight"]), p[n + "post_feedforward_layernorm.weight"], eps)
        if resid is not None:
            resid.append(x)
    return x


def logits(p, c, x, compute=torch.float32):
    y = rms(x, p["model.norm.weight"], c["rms_norm_eps"])
    cap = c["final_logit_softcapping"]
    z = F.linear(y.to(compute), p["model.embed_tokens.weight"].to(compute)).float()
    return cap * tanh(z / cap, compute)


def loss(p, c, ids, tab, compute=torch.float32):
    """Mean cross-entropy of ids[:, 1:], nats per token."""
    x = blocks(p, c, ids, tab, compute)
    z = logits(p, c, x[:, :-1].reshape(-1, c["hidden_size"]), compute)
    return F.cross_entropy(z, ids[:, 1:].reshape(-1))


# ---- files ---------------------------------------------------------------

def save(path, tensors):
    """bf16 safetensors, tensors in name order, round to nearest even."""
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        t = tensors[name].detach().to(torch.bfloat16).contiguous()
        raw = t.view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    tmp = path + ".tmp"
    with open(tmp, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(data))
        f.flush()
        os.fsync(f.fileno())
    os.replace(tmp, path)


def load(folder):
    """(config, float32 tensors) of a model folder written by save()."""
    with open(f"{folder}/config.json") as f:
        c = json.load(f)
    raw = open(f"{folder}/model.safetensors", "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    p = {}
    for name, h in head.items():
        b, e = h["data_offsets"]
        u = np.frombuffer(raw[8 + n + b:8 + n + e], dtype=np.uint16).astype(np.uint32) << 16
        p[name] = torch.from_numpy(u.view(np.float32).reshape(h["shape"]).copy())
    want = shapes(c)
    assert {k: tuple(v.shape) for k, v in p.items()} == want
    return c, p


# ---- check against the published formula model ----------------------------

def formula_model():
    """A small model whose weights come from splitmix64; used to check blocks()."""
    c = dict(TINY_G2, vocab_size=67, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
             num_attention_heads=4, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=24,
             sliding_window=5, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)
    p = {}
    for t, (name, shape) in enumerate(shapes(c).items()):
        x = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(t << 32)
        with np.errstate(over="ignore"):
            x += np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
        u = (x >> np.uint64(40)).astype(np.float64)
        s = 0.5 if "norm" in name else 0.25
        p[name] = torch.from_numpy(((u / 2 ** 23 - 1) * s).astype(np.float32).reshape(shape))
    return c, p


def self_check():
    c, p = formula_model()
    ids = torch.tensor([[2, 8, 18, 42, 16, 4, 6, 22, 52, 32, 26, 34],
                        [2, 4, 20, 46, 18, 64, 56, 58, 6, 28, 60, 38]])
    r = []
    x = blocks(p, c, ids, tables(c, 12), resid=r)
    ce = F.cross_entropy(logits(p, c, x[:, :-1].reshape(-1, 32)), ids[:, 1:].reshape(-1)).item()
    sums = [float((v.double() ** 2).sum()) for v in r]
    want = [2116.161895, 4497.271057, 6104.775817, 7595.528282]
    print(f"formula model: cross-entropy {ce:.8f} (4.46175908), squares",
          " ".join(f"{s:.4f}" for s in sums))
    assert abs(ce - 4.46175908) < 3e-6
    assert all(abs(a - b) < 1e-5 * b for a, b in zip(sums, want))


if __name__ == "__main__":
    self_check()
