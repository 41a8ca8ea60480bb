# SPDX-License-Identifier: MIT
"""Tiny SAEs of layouts and settings that sae_formats.py does not make, with what they compute by the
formulas of their packages, written here in numpy. Writes tests/golden/sae/more/.

    python tests/golden/sae_more.py          # numpy, safetensors

f is of unit decoder rows where "folded" says so, as in sae_formats.py; "refused" are files that hold an
array or a setting without a formula, with what the message must say."""
import json
import os
import zipfile

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sae", "more")
D, M, N, K = 6, 10, 4, 3
rng = np.random.default_rng(11)
X = (rng.normal(size=(N, D)) * 2 + 0.5).astype("f4")
saes, refused = [], []


def rand(*shape):
    return (rng.normal(size=shape) * 0.7).astype("f4")


def weights(**more):
    return dict(W_enc=rand(D, M), W_dec=rand(M, D), b_enc=rand(M) * 0.5, b_dec=rand(D) * 0.5, **more)


def put(path, arrays, name, cfg, cfg_name):
    path = os.path.join(HERE, path)
    os.makedirs(path, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, os.path.join(path, name))
    json.dump(cfg, open(os.path.join(path, cfg_name), "w"))


def lens(path, arrays, **cfg):
    put(path, arrays, "sae_weights.safetensors",
        dict(d_in=D, d_sae=M, dtype="float32", model_name="tiny-g2",
             hook_name="blocks.3.hook_resid_post", normalize_activations="none", **cfg), "cfg.json")


def say(path, arch, f, W_dec, b_dec, folded):
    """W_dec: what f is multiplied by; where folded, f is told for rows of norm 1."""
    f, W_dec = f.astype("f8"), W_dec.astype("f8")
    xhat = f @ W_dec + b_dec
    if folded:
        f = f * np.linalg.norm(W_dec, axis=1)
    saes.append(dict(path="more/" + path, arch=arch, folded=folded, x=X.astype("f8").ravel().tolist(),
                     f=f.ravel().tolist(), xhat=xhat.ravel().tolist()))


def refuse(path, says):
    refused.append(dict(path="more/" + path, says=says))


def relu(z):
    return np.maximum(z, 0)


def topk(z, k):
    f = np.zeros_like(z)
    for t, row in enumerate(z):
        best = np.argsort(-row)[:k]
        f[t, best] = relu(row[best])
    return f


def encode(w, subtract):
    x = X.astype("f8") - (w["b_dec"] if subtract else 0)
    return x @ w["W_enc"] + w["b_enc"]


# the factor of a finetuned decoder, under both of its names
for name, own in (("lens_factor_own", True), ("lens_factor_old", False)):
    w = weights()
    s = np.linspace(0.5, 2, M).astype("f4")
    lens(name, {**w, "finetuning_scaling_factor" if own else "scaling_factor": s},
         architecture="standard", apply_b_dec_to_input=True, finetuning_scaling_factor=True)
    say(name + "/sae_weights.safetensors", "standard", relu(encode(w, True)), w["W_dec"] * s[:, None],
        w["b_dec"], True)
# 0 for false
w = weights()
lens("lens_zero", w, architecture="standard", apply_b_dec_to_input=0, finetuning_scaling_factor=0)
say("lens_zero/sae_weights.safetensors", "standard", relu(encode(w, False)), w["W_dec"], w["b_dec"], True)
# the threshold as its logarithm
w = weights(log_threshold=np.log(np.abs(rand(M)) + 0.1).astype("f4"))
lens("lens_log_threshold", w, architecture="jumprelu", apply_b_dec_to_input=False)
z = encode(w, False)
say("lens_log_threshold/sae_weights.safetensors", "jumprelu",
    relu(z) * (z > np.exp(w["log_threshold"].astype("f8"))), w["W_dec"], w["b_dec"], True)
# sparsify: top-k of centred inputs; multi_topk matters to training only
for name, multi in (("sparsify/layers.3", False), ("sparsify_multi/layers.3", True)):
    w = weights()
    w["W_dec"] /= np.linalg.norm(w["W_dec"], axis=1, keepdims=True)
    cfg = dict(activation="topk", expansion_factor=2, normalize_decoder=True, num_latents=M, k=K,
               multi_topk=multi, skip_connection=False, transcode=False, d_in=D)
    arrays = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"],
              "b_dec": w["b_dec"]}
    put(name, arrays, "sae.safetensors", cfg, "cfg.json")
    say(name + "/sae.safetensors", "topk", topk(encode(w, True), K), w["W_dec"], w["b_dec"], False)
put("sparsify_group/layers.3", arrays, "sae.safetensors", {**cfg, "activation": "groupmax"}, "cfg.json")
refuse("sparsify_group/layers.3/sae.safetensors", "activation 'groupmax'")
put("sparsify_skip/layers.3", {**arrays, "W_skip": rand(D, D)}, "sae.safetensors", cfg, "cfg.json")
refuse("sparsify_skip/layers.3/sae.safetensors", "array 'W_skip' [6, 6]")
# Gemma Scope 2: lower-case names, settings of its own
w = weights(threshold=np.abs(rand(M)))
lower = {k.lower(): v for k, v in w.items()}
scope = dict(architecture="jump_relu", model_name="tiny-g2", hf_hook_point_in="model.layers.3.output",
             width=M, l0=3)
put("scope/layer_3", lower, "params.safetensors", scope, "config.json")
z = encode(w, False)
say("scope/layer_3/params.safetensors", "jumprelu", relu(z) * (z > w["threshold"]), w["W_dec"],
    w["b_dec"], True)
put("scope_out", lower, "params.safetensors",
    {**scope, "hf_hook_point_out": "model.layers.3.mlp.output"}, "config.json")
refuse("scope_out/params.safetensors", "no autoencoder")
# arrays that nobody reads
lens("lens_skip", {**weights(), "W_skip": rand(D, D)}, architecture="standard",
     apply_b_dec_to_input=True)
refuse("lens_skip/sae_weights.safetensors", "array 'W_skip' [6, 6]")
lens("lens_both", weights(threshold=np.abs(rand(M)), log_threshold=rand(M)), architecture="jumprelu",
     apply_b_dec_to_input=False)
refuse("lens_both/sae_weights.safetensors", "array 'log_threshold' [10]")
for name in ("transcoder", "abstopk"):
    lens("lens_" + name, weights(), architecture=name, k=K, apply_b_dec_to_input=False)
refuse("lens_transcoder/sae_weights.safetensors", "is a transcoder")
refuse("lens_abstopk/sae_weights.safetensors", "architecture 'abstopk'")
os.makedirs(os.path.join(HERE, "npz_skip"), exist_ok=True)
np.savez(os.path.join(HERE, "npz_skip/params.npz"), **weights(threshold=np.abs(rand(M))),
         affine_skip_connection=rand(D, D))
refuse("npz_skip/params.npz", "array 'affine_skip_connection' [6, 6]")


def pickle_of(arrays):
    """The state dict as torch.save pickles it: protocol 2, storages by key."""
    out = b"\x80\x02ccollections\nOrderedDict\n)R("
    text = lambda s: b"X" + len(s).to_bytes(4, "little") + s.encode()
    number = lambda n: b"J" + n.to_bytes(4, "little")
    for i, (name, a) in enumerate(arrays.items()):
        kind = b"IntStorage" if a.dtype == np.int32 else b"FloatStorage"
        out += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
        out += b"ctorch\n" + kind + b"\n" + text(str(i)) + text("cpu") + number(a.size) + b"tQ"
        out += number(0) + b"(" + b"".join(map(number, a.shape)) + b"t("
        out += b"".join(number(s // 4) for s in a.strides) + b"t\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u."


def torch_file(path, arrays):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        member = lambda name: zipfile.ZipInfo("archive/" + name)
        z.writestr(member("data.pkl"), pickle_of(arrays))
        z.writestr(member("byteorder"), "little")
        for i, a in enumerate(arrays.values()):
            z.writestr(member(f"data/{i}"), a.tobytes())


# Qwen Scope: top-k, nothing subtracted; k stands in the folder's name only
w = weights()
arrays = dict(W_enc=np.ascontiguousarray(w["W_enc"].T), W_dec=np.ascontiguousarray(w["W_dec"].T),
              b_enc=w["b_enc"], b_dec=w["b_dec"])
torch_file(f"SAE-Res-Tiny-W1K-L0_{K}/layer3.sae.pt", arrays)
say(f"SAE-Res-Tiny-W1K-L0_{K}/layer3.sae.pt", "topk", topk(encode(w, False), K), w["W_dec"], w["b_dec"],
    False)
# an npz that only its folder calls a transcoder
os.makedirs(os.path.join(HERE, "some-transcoders/layer_3"), exist_ok=True)
np.savez(os.path.join(HERE, "some-transcoders/layer_3/params.npz"), **weights(threshold=np.abs(rand(M))))
refuse("some-transcoders/layer_3/params.npz", "transcoder by the name of its folder")

arrays = {"encoder.weight": rand(M, D), "encoder.bias": rand(M), "decoder.weight": rand(D, M),
          "b_dec": rand(D), "k": np.int32(K).reshape(()), "threshold": np.float32("inf").reshape(())}
torch_file("topk_infinite/ae.pt", arrays)
json.dump({"trainer": {"dict_class": "AutoEncoderTopK", "k": K}},
          open(os.path.join(HERE, "topk_infinite/config.json"), "w"))

with open(os.path.join(HERE, "answers.json"), "w") as out:
    json.dump(dict(d=D, m=M, n=N, saes=saes, refused=refused), out)
    out.write("\n")
