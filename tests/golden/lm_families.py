#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tiny random models of every family of lm/, as Hugging Face transformers computes them.

    lm_families.py OUT

writes OUT/NAME/config.json, OUT/NAME/model.safetensors (BF16) and OUT/NAME.vectors.safetensors: ids
[B][T], stream.I [B][T][D] after layer I, logits [B][T][V], in f32 with eager attention; and
OUT/NAME.hooks.safetensors: POINT [B][T][width] at points of layer 1 (lib/file/hook.h), and spliced.POINT
[B][V], logits of the last token where half of the activations is in place of them. Sizes are odd
where they may be: heads of keys that several heads of queries share, windows shorter than the text,
heads wider or narrower than width / heads, own and shared heads of logits, biases. Some configs are
written as older versions of transformers did; all are read back from the folder before they are run.
Made with transformers 5.24 and torch 2.15. tests/golden/test_lm_families.c compares."""
import json
import os
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3ForConditionalGeneration

B = 2
# What the committed vectors are made of, and what tests/parity/families.py asks for.
SMALL = dict(T=19, V=61, D=32, F=44, layers=3, context=64, window=5, dtype=torch.bfloat16)
LARGE = dict(T=300, V=499, D=96, F=140, layers=6, context=512, window=37, dtype=torch.float32)


def configs(z):
    """name: config.json as a folder would have it. An old spelling stays as it is written here."""
    base = dict(vocab_size=z["V"], hidden_size=z["D"], intermediate_size=z["F"],
                num_hidden_layers=z["layers"], num_attention_heads=4,
                max_position_embeddings=z["context"], bos_token_id=2, eos_token_id=1)
    silu = dict(base, rms_norm_eps=1e-5, hidden_act="silu")
    gemma = dict(base, rms_norm_eps=1e-6, hidden_activation="gelu_pytorch_tanh",
                 num_key_value_heads=2, head_dim=12, query_pre_attn_scalar=20,
                 sliding_window=z["window"])
    gemma3 = dict(gemma, rope_local_base_freq=1e4, rope_theta=1e6,
                  rope_scaling={"rope_type": "linear", "factor": 8.0}, sliding_window_pattern=3)
    neox = dict(base, model_type="gpt_neox", hidden_act="gelu", layer_norm_eps=1e-5)
    return {
        # four heads of keys, own head, no rope_theta, no head_dim
        "llama_2": dict(silu, model_type="llama", tie_word_embeddings=False),
        "llama_3": dict(silu, model_type="llama", num_key_value_heads=2, tie_word_embeddings=True,
                        num_attention_heads=4, rope_theta=5e5, eos_token_id=[1, 3],
                        rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                      "high_freq_factor": 4.0,
                                      "original_max_position_embeddings": z["context"] // 2}),
        "llama_bias": dict(silu, model_type="llama", num_key_value_heads=1, head_dim=10,
                           attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
                           rope_parameters={"rope_type": "linear", "rope_theta": 1e4,
                                            "factor": 3.0}),
        "mistral": dict(silu, model_type="mistral", num_key_value_heads=2, head_dim=6,
                        sliding_window=z["window"], rope_theta=1e4, tie_word_embeddings=False),
        "qwen2": dict(silu, model_type="qwen2", num_key_value_heads=2, use_sliding_window=True,
                      sliding_window=z["window"] - 1, max_window_layers=1, rope_theta=1e6,
                      tie_word_embeddings=True),
        "qwen2_yarn": dict(silu, model_type="qwen2", num_key_value_heads=4,
                           use_sliding_window=False, sliding_window=4, max_window_layers=1,
                           rope_theta=1e4, tie_word_embeddings=False,
                           rope_scaling={"type": "yarn", "factor": 4.0,
                                         "original_max_position_embeddings": z["context"] // 4}),
        "qwen3": dict(silu, model_type="qwen3", num_key_value_heads=2, head_dim=14, rope_theta=1e6,
                      attention_bias=False, tie_word_embeddings=True),
        "qwen3_yarn": dict(silu, model_type="qwen3", num_key_value_heads=1, head_dim=16,
                           attention_bias=False, tie_word_embeddings=False,
                           rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0,
                                            "original_max_position_embeddings": z["context"] // 2}),
        "gemma2": dict(gemma, model_type="gemma2", attn_logit_softcapping=2.0,
                       final_logit_softcapping=3.0, rope_theta=1e4),
        "gemma3_text": dict(gemma3, model_type="gemma3_text"),
        # as transformers 5 saves it: rope_parameters of both kinds of layer, layer_types
        "gemma3": dict(gemma3, model_type="gemma3"),
        "gpt_neox": dict(neox, rotary_pct=0.25, rotary_emb_base=10000, use_parallel_residual=True,
                         tie_word_embeddings=False, bos_token_id=0, eos_token_id=0),
        "gpt_neox_serial": dict(neox, use_parallel_residual=False, tie_word_embeddings=True,
                                rope_parameters={"rope_type": "default", "rope_theta": 1000.0,
                                                 "partial_rotary_factor": 0.5}),
        "gpt2": dict(model_type="gpt2", vocab_size=z["V"], n_embd=z["D"], n_layer=z["layers"],
                     n_head=4, n_positions=z["context"], n_ctx=z["context"], n_inner=None,
                     activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=2,
                     eos_token_id=2),
    }


def randomise(model, z):
    """Weights of a size at which every part matters; values that the file's type holds."""
    torch.manual_seed(7)
    wide = (32 / z["D"]) ** 0.5
    for name, p in model.named_parameters():
        scale = 0.25 * wide if p.dim() > 1 else 0.3
        centre = 0.0
        if p.dim() == 1 and "norm" in name or ".ln_" in name:
            centre = 0.0 if "gemma" in model.config.model_type or name.endswith("bias") else 1.0
        p.data = (centre + scale * torch.randn_like(p)).to(z["dtype"]).to(torch.float32)


def save(model, folder, config, dtype):
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors = {k: v.to(dtype).contiguous() for k, v in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    for name in os.listdir(folder):
        if name not in ("model.safetensors", "config.json"):
            os.remove(os.path.join(folder, name))
    if config is not None:
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config, f, indent=1, sort_keys=True)
            f.write("\n")


def vectors(model, layers, ids):
    streams = {}

    def keep(i):
        def hook(_module, _input, output):
            streams[i] = (output if torch.is_tensor(output) else output[0]).detach().clone()
        return hook

    hooks = [layer.register_forward_hook(keep(i)) for i, layer in enumerate(layers)]
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    out = {"ids": ids.to(torch.float32), "logits": logits.to(torch.float32).contiguous()}
    for i, x in streams.items():
        out["stream.%d" % i] = x.to(torch.float32).contiguous()
    return out


def places(layer):
    """Module and side ("in", "out") of each point of a layer."""
    attn = getattr(layer, "self_attn", None) or getattr(layer, "attention", None) or layer.attn
    product = next(getattr(attn, n) for n in ("o_proj", "dense", "c_proj") if hasattr(attn, n))
    out = {"resid_pre": (layer, "in"), "attn_z": (product, "in"), "mlp_in": (layer.mlp, "in"),
           "resid_post": (layer, "out")}
    if hasattr(layer, "post_feedforward_layernorm"):  # norms after the branches
        out["attn_out"] = (layer.post_attention_layernorm, "out")
        out["mlp_out"] = (layer.post_feedforward_layernorm, "out")
        before_mlp = layer.pre_feedforward_layernorm
    else:
        out["attn_out"] = (product, "out")
        out["mlp_out"] = (layer.mlp, "out")
        before_mlp = layer.ln_2 if hasattr(layer, "ln_2") else layer.post_attention_layernorm
    if not getattr(layer, "use_parallel_residual", False):
        out["resid_mid"] = (before_mlp, "in")
    return out


def hooked(model, ids, module, side, change):
    """The logits with change(x) in place of what goes in or out of a module."""
    def swap_in(_module, args):
        return (change(args[0]), *args[1:])

    def swap_out(_module, _args, output):
        return change(output) if torch.is_tensor(output) else (change(output[0]), *output[1:])

    hook = (module.register_forward_pre_hook(swap_in) if side == "in"
            else module.register_forward_hook(swap_out))
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    hook.remove()
    return logits


def hook_vectors(model, layer, ids):
    out, points = {}, places(layer)

    def keep(name):
        def change(x):
            out[name] = x.detach().clone().to(torch.float32).contiguous()
            return x
        return change

    for name, (module, side) in points.items():
        hooked(model, ids, module, side, keep(name))
    for name, (module, side) in points.items():
        def change(x):
            return 0.5 * x
        if name == "resid_mid":  # it is added up within the layer: its half by way of attn_out
            (module, side) = points["attn_out"]

            def change(x):
                return 0.5 * (out["resid_pre"] + x) - out["resid_pre"]
        logits = hooked(model, ids, module, side, change)
        out["spliced." + name] = logits[:, -1].to(torch.float32).contiguous()
    del out["resid_pre"], out["resid_post"]  # stream.0, stream.1
    return out


def layers_of(model):
    for path in ("model.layers", "gpt_neox.layers", "transformer.h", "model.language_model.layers"):
        at = model
        for part in path.split("."):
            at = getattr(at, part, None)
        if at is not None:
            return at
    raise SystemExit("no layers")


def seeing(config):
    """Gemma 3 with a small model of vision around the text's."""
    text = {k: v for k, v in config.items() if k != "model_type"}
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
                  image_size=14, patch_size=7)
    return Gemma3ForConditionalGeneration(
        AutoConfig.for_model("gemma3", text_config=text, vision_config=vision,
                             mm_tokens_per_image=4))


def written(config):
    given = {k: v for k, v in config.items() if k != "model_type"}
    c = AutoConfig.for_model(config["model_type"], **json.loads(json.dumps(given)))
    c._attn_implementation = "eager"
    return AutoModelForCausalLM.from_config(c)


def main(out, z=SMALL):
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name, config in configs(z).items():
        sees = config["model_type"] == "gemma3"
        kind = Gemma3ForConditionalGeneration if sees else AutoModelForCausalLM
        folder = os.path.join(out, name)
        model = seeing(config) if sees else written(config)
        randomise(model, z)
        save(model, folder, None if sees else config, z["dtype"])
        model = kind.from_pretrained(folder, dtype=torch.float32,
                                     attn_implementation="eager").eval()
        gen = torch.Generator().manual_seed(3)
        ids = torch.randint(3, z["V"], (B, z["T"]), generator=gen)
        ids[:, 0] = 2
        save_file(vectors(model, layers_of(model), ids), folder + ".vectors.safetensors")
        save_file(hook_vectors(model, layers_of(model)[1], ids), folder + ".hooks.safetensors")
        print(name, sum(p.numel() for p in model.parameters()), file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
