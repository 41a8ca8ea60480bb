#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GGUF files for tests/golden/test_lm_gguf.c, written with gguf-py.

    lm_gguf.py GOLDEN OUT DATA

reads the tiny models and tokenizers of GOLDEN (lm_families.py, lm_tokenizers.py) and DATA (tiny-g2),
and writes into OUT
  NAME.gguf         the weights of GOLDEN/lm/NAME as llama.cpp's converter lays them (convert_hf_to_gguf.py):
                    rows of q and k of Llama in pairs, norms of Gemma as 1 + w, q|k|v of GPT-NeoX stacked,
                    matrices of GPT-2 turned, Llama 3's rotary divisors
  tok_NAME.gguf     metadata alone, of GOLDEN/lm_tok/NAME.json; ids are in cases.json there
  spm.model, spm.gguf   the first pieces of tiny-g2's SentencePiece model, and the same with scores
  blocks.gguf, blocks.safetensors   random blocks of each quantised type, and what gguf-py makes of them.
Made with gguf 0.19."""
import json
import math
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as Q, GGUFWriter, quants
from safetensors.torch import load_file, save_file
import torch

MODELS = {"llama_2": "llama", "llama_3": "llama", "llama_bias": "llama", "gemma2": "gemma2",
          "gemma3_text": "gemma3", "qwen2_yarn": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2",
          "gpt_neox": "gptneox", "gpt_neox_serial": "gptneox"}
PARTS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
         "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
         "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "attention.query_key_value": "attn_qkv",
         "attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up",
         "mlp.dense_4h_to_h": "ffn_down"}
GEMMA = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}
WHOLE = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "wte": "token_embd",
         "wpe": "position_embd", "ln_f": "output_norm", "embed_in": "token_embd",
         "final_layer_norm": "output_norm", "embed_out": "output"}


def name_of(name, arch):
    for prefix in ("model.", "transformer.", "gpt_neox."):
        name = name.removeprefix(prefix)
    stem, end = name.rsplit(".", 1)
    if stem in WHOLE:
        return "%s.%s" % (WHOLE[stem], end)
    number, part = stem.split(".", 2)[1:]
    parts = dict(PARTS, **GEMMA) if "gemma" in arch else PARTS
    return "blk.%s.%s.%s" % (number, parts[part], end)


def lay(name, x, arch, c):
    """One tensor as llama.cpp has it."""
    heads = c.get("num_attention_heads", c.get("n_head"))
    if arch == "llama" and (".q_proj." in name or ".k_proj." in name):
        n = heads if ".q_proj." in name else c.get("num_key_value_heads", heads)
        return x.reshape(n, 2, x.shape[0] // n // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
    if "gemma" in arch and name.endswith("norm.weight"):
        return x + 1
    if arch == "gpt2" and any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return x.T
    if arch == "gptneox" and "query_key_value" in name:
        y = x.reshape(heads, 3, x.shape[0] // heads // 3, *x.shape[1:])
        return y.swapaxes(0, 1).reshape(x.shape)
    return x


def divisors(scaling, theta, d):
    """What convert_hf_to_gguf.py writes as rope_freqs.weight."""
    factor, low, high = (scaling[k] for k in ("factor", "low_freq_factor", "high_freq_factor"))
    original = scaling["original_max_position_embeddings"]
    out = []
    for freq in 1.0 / (theta ** (torch.arange(0, d, 2, dtype=torch.float32) / d)):
        wave = 2 * math.pi / freq
        if wave < original / high:
            out.append(1)
        elif wave > original / low:
            out.append(factor)
        else:
            smooth = (original / wave - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(out, dtype=np.float32)


def put_config(w, arch, c):
    heads = c.get("num_attention_heads", c.get("n_head"))
    width = c.get("hidden_size", c.get("n_embd"))
    rope = dict(c.get("rope_parameters") or {}, **(c.get("rope_scaling") or {}))
    d = c.get("head_dim") or width // heads
    w.add_context_length(c.get("max_position_embeddings", c.get("n_positions")))
    w.add_embedding_length(width)
    w.add_feed_forward_length(c.get("intermediate_size") or 4 * width)
    w.add_block_count(c.get("num_hidden_layers", c.get("n_layer")))
    w.add_head_count(heads)
    if "rms_norm_eps" in c:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        w.add_head_count_kv(c.get("num_key_value_heads", heads))
        w.add_key_length(d)
        w.add_value_length(d)
    else:
        w.add_layer_norm_eps(c.get("layer_norm_eps", c.get("layer_norm_epsilon")))
    if arch == "gptneox":
        share = c.get("rotary_pct", rope.get("partial_rotary_factor"))
        w.add_rope_dimension_count(int(share * d))
        w.add_parallel_residual(c["use_parallel_residual"])
    theta = c.get("rope_theta", rope.get("rope_theta", c.get("rotary_emb_base")))
    if theta and arch != "gemma2":
        w.add_rope_freq_base(float(theta))
    kind = rope.get("rope_type", rope.get("type"))
    if kind in ("linear", "yarn"):
        w.add_string("%s.rope.scaling.type" % arch, kind)
        w.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if kind == "llama3":
        w.add_tensor("rope_freqs.weight", divisors(rope, theta, d))
    if "gemma" in arch:
        w.add_sliding_window(c["sliding_window"])
    if arch == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if arch == "gemma3":
        w.add_uint32("gemma3.attention.sliding_window_pattern", c["sliding_window_pattern"])
    w.add_bos_token_id(c.get("bos_token_id", 2))
    eos = c.get("eos_token_id", 1)
    w.add_eos_token_id(eos[0] if isinstance(eos, list) else eos)


def close(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def model(golden, out, name, arch):
    with open("%s/lm/%s/config.json" % (golden, name)) as f:
        c = json.load(f)
    if "gemma" in arch:  # the format has no query_pre_attn_scalar: the width of a head stands for it
        c["query_pre_attn_scalar"] = c["head_dim"]
    w = GGUFWriter("%s/%s.gguf" % (out, name), arch)
    put_config(w, arch, c)
    for key, t in load_file("%s/lm/%s/model.safetensors" % (golden, name)).items():
        x = np.ascontiguousarray(lay(key, t.to(torch.float32).numpy(), arch, c))
        plain = x.ndim == 1
        w.add_tensor(name_of(key, arch), x if plain else quants.quantize(x, Q.BF16),
                     raw_dtype=None if plain else Q.BF16)
    close(w)


def put_tokens(w, tokens, types):
    w.add_token_list(tokens)
    w.add_token_types(types)


def tokenizer(golden, out, name, pre):
    with open("%s/lm_tok/%s.json" % (golden, name)) as f:
        data = json.load(f)
    vocab = dict(data["model"]["vocab"])
    special = {a["content"]: a for a in data["added_tokens"]}
    vocab.update({text: a["id"] for text, a in special.items()})
    n = max(vocab.values()) + 1
    tokens, types = ["[PAD%d]" % i for i in range(n)], [5] * n
    for text, i in vocab.items():
        tokens[i] = text
        types[i] = 1 if text not in special else 3 if special[text]["special"] else 4
    w = GGUFWriter("%s/tok_%s.gguf" % (out, name), "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    put_tokens(w, tokens, types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
    close(w)


def varint(b, at):
    value = shift = 0
    while True:
        value |= (b[at] & 127) << shift
        shift += 7
        at += 1
        if b[at - 1] < 128:
            return value, at


def fields(b):
    at = 0
    while at < len(b):
        key, start = varint(b, at)
        kind, end = key & 7, 0
        if kind == 2:
            n, start = varint(b, start)
            end = start + n
        elif kind == 5:
            end = start + 4
        else:
            _, end = varint(b, start)
        yield key >> 3, b[at:end], b[start:end]
        at = end


def is_letter(piece):
    return any(number == 1 and len(text.decode()) == 1 for number, _, text in fields(piece))


def sentencepiece(data, out, n_max):
    kept, tokens, scores, types = b"", [], [], []
    with open(os.path.join(data, "tokenizer.model"), "rb") as f:
        for number, whole, inner in fields(f.read()):
            if number == 1 and len(tokens) >= n_max and not is_letter(inner):
                continue  # but letters stay, without which no text is cut as before
            if number == 2:  # the trainer's size of the vocabulary must be that of the file
                inner = b"".join(n_bytes if k != 4 else b"\x20" + size(len(tokens))
                                 for k, n_bytes, _ in fields(inner))
                whole = b"\x12" + size(len(inner)) + inner
            kept += whole
            if number == 1:
                piece = {k: v for k, _, v in fields(inner)}
                tokens.append(piece[1].decode())
                scores.append(float(np.frombuffer(piece[2], np.float32)[0]) if 2 in piece else 0.0)
                types.append(varint(piece[3], 0)[0] if 3 in piece else 1)
    with open(os.path.join(out, "spm.model"), "wb") as f:
        f.write(kept)
    w = GGUFWriter(os.path.join(out, "spm.gguf"), "gemma2")
    w.add_tokenizer_model("llama")
    w.add_add_space_prefix(False)
    put_tokens(w, tokens, types)
    w.add_token_scores(scores)
    w.add_unk_token_id(types.index(2))
    close(w)
    print("spm", len(tokens), [types.count(i) for i in range(7)])


def size(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def blocks(out):
    rng = np.random.default_rng(5)
    w = GGUFWriter(os.path.join(out, "blocks.gguf"), "llama")
    want = {}
    halves = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2],
              Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
    for kind, at in halves.items():
        bytes_ = {Q.Q8_0: 34, Q.Q4_0: 18, Q.Q4_1: 20, Q.Q5_0: 22, Q.Q5_1: 24, Q.Q4_K: 144,
                   Q.Q5_K: 176, Q.Q6_K: 210}[kind]
        per_row = 512 // (32 if bytes_ < 100 else 256)
        raw = rng.integers(0, 256, (3 * per_row, bytes_), dtype=np.uint8)
        for i in at:  # scales of every size, among them subnormal ones
            scale = rng.standard_normal(3 * per_row) * 2.0 ** rng.integers(-22, 3, 3 * per_row)
            raw[:, i:i + 2] = scale.astype(np.float16).view(np.uint8).reshape(-1, 2)
        raw = raw.reshape(3, per_row * bytes_)
        w.add_tensor(kind.name, raw, raw_dtype=kind)
        want[kind.name] = torch.from_numpy(quants.dequantize(raw, kind))
    close(w)
    save_file(want, os.path.join(out, "blocks.safetensors"))


def main(golden, out, data):
    os.makedirs(out, exist_ok=True)
    for name, arch in MODELS.items():
        model(golden, out, name, arch)
    for name, pre in {"gpt2": "gpt-2", "llama3": "llama-bpe", "smollm2": "smollm",
                      "qwen2": "qwen2"}.items():
        tokenizer(golden, out, name, pre)
    sentencepiece(data, out, 1500)
    blocks(out)


if __name__ == "__main__":
    main(*sys.argv[1:4])
