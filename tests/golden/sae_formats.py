# SPDX-License-Identifier: MIT
"""Tiny SAEs written by SAELens, dictionary_learning, PyTorch and numpy themselves, with what their
own encode and decode make of a few activations. Writes tests/golden/sae/.

    python tests/golden/sae_formats.py

Made with sae-lens 6.54.12, dictionary-learning 0.1.0, torch 2.15.0, numpy 2.4.6.
f is encode after the package's own folding of decoder norms (dictionary_learning has none but for
AutoEncoder: there the same formula is applied here); xhat is of the SAE as it was saved."""
import json
import os
import pickle
import shutil

import numpy as np
import torch as t

os.environ["CUDA_VISIBLE_DEVICES"] = ""
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sae")
D, M, N, K = 6, 10, 4, 3
g = t.Generator().manual_seed(7)
X = t.randn(N, D, generator=g) * 2 + 0.5
answers = []


def rand(*shape):
    return t.randn(*shape, generator=g)


def say(name, arch, f, xhat, folded, x=X):
    answers.append({"path": name, "arch": arch, "folded": folded,
                    "x": x.double().flatten().tolist(),
                    "f": f.detach().double().flatten().tolist(),
                    "xhat": xhat.detach().double().flatten().tolist()})


# --- SAELens ----------------------------------------------------------------------------------
from sae_lens import (GatedSAE, GatedSAEConfig, JumpReLUSAE, JumpReLUSAEConfig, StandardSAE,
                      StandardSAEConfig, TopKSAE, TopKSAEConfig)
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import SAEMetadata


def lens(name, cls, cfg_cls, arch, unit=False, fold=True, **settings):
    meta = SAEMetadata(model_name="tiny-g2", hook_name="blocks.3.hook_resid_post", context_size=128)
    cfg = cfg_cls(d_in=D, d_sae=M, dtype=settings.pop("dtype", "float32"), device="cpu",
                  metadata=meta, **settings)
    sae = cls(cfg)
    with t.no_grad():
        for key, p in sae.named_parameters():
            p.copy_(rand(*p.shape) * (0.3 if key in ("threshold", "r_mag") else 0.7))
            if key in ("threshold", "log_threshold"):
                p.abs_()
        if unit:
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
    path = os.path.join(HERE, name)
    sae.save_model(path)
    return sae


def lens_answer(name, arch, sae, fold=True):
    x = X.to(sae.dtype)
    xhat = sae.decode(sae.encode(x))
    if fold:
        sae.fold_W_dec_norm()
    say(name + "/sae_weights.safetensors", arch, sae.encode(x), xhat, fold)


for name, cls, cfg_cls, arch, more in [
    ("lens_standard", StandardSAE, StandardSAEConfig, "standard", {}),
    ("lens_standard_raw", StandardSAE, StandardSAEConfig, "standard",
     {"apply_b_dec_to_input": False}),
    ("lens_layer_norm", StandardSAE, StandardSAEConfig, "standard",
     {"normalize_activations": "layer_norm"}),
    ("lens_constant_norm", JumpReLUSAE, JumpReLUSAEConfig, "jumprelu",
     {"normalize_activations": "constant_norm_rescale"}),
    ("lens_jumprelu", JumpReLUSAE, JumpReLUSAEConfig, "jumprelu", {}),
    ("lens_gated", GatedSAE, GatedSAEConfig, "gated", {}),
    ("lens_topk", TopKSAE, TopKSAEConfig, "topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
    ("lens_bf16", StandardSAE, StandardSAEConfig, "standard", {"dtype": "bfloat16"}),
]:
    sae = lens(name, cls, cfg_cls, arch, **more)
    if name == "lens_bf16":  # the numbers of the file in f32 arithmetic
        sae = StandardSAE.load_from_disk(os.path.join(HERE, name), dtype="float32")
    lens_answer(name, arch, sae)
sae = lens("lens_topk_raw", TopKSAE, TopKSAEConfig, "topk", k=K)
lens_answer("lens_topk_raw", "topk", sae, fold=False)

# a scale of activations kept beside the weights
sae = lens("lens_scaled", StandardSAE, StandardSAEConfig, "standard",
           normalize_activations="expected_average_only_in")
json.dump({"scaling_factor": 0.37}, open(os.path.join(HERE, "lens_scaled/activation_scaler.json"), "w"))
sae.fold_activation_norm_scaling_factor(0.37)
lens_answer("lens_scaled", "standard", sae)

# a training checkpoint: the threshold of batchtopk as one f64 number
cfg = BatchTopKTrainingSAEConfig(d_in=D, d_sae=M, k=K, device="cpu", decoder_init_norm=0.4)
sae = BatchTopKTrainingSAE(cfg)
with t.no_grad():
    for p in sae.parameters():
        p.copy_(rand(*p.shape) * 0.7)
    sae.topk_threshold.fill_(0.45)
sae.save_model(os.path.join(HERE, "lens_batchtopk"))
z = ((X - sae.b_dec) @ sae.W_enc + sae.b_enc) * sae.W_dec.norm(dim=1)
f = t.relu(z) * (z > 0.45)
say("lens_batchtopk/sae_weights.safetensors", "batchtopk", f,
    (f / sae.W_dec.norm(dim=1)) @ sae.W_dec + sae.b_dec, True)

# the flat settings of older files, with the leftover tensor of ones
sae = lens("lens_old", StandardSAE, StandardSAEConfig, "standard")
from safetensors.torch import load_file, save_file
w = load_file(os.path.join(HERE, "lens_old/sae_weights.safetensors"))
w["scaling_factor"] = t.ones(M)
save_file(w, os.path.join(HERE, "lens_old/sae_weights.safetensors"))
json.dump({"d_in": D, "d_sae": M, "dtype": "torch.float32", "device": "cpu", "model_name": "tiny-g2",
           "hook_point": "blocks.3.hook_resid_post", "hook_point_layer": 3,
           "hook_point_head_index": None, "activation_fn_str": "relu", "apply_b_dec_to_input": True,
           "finetuning_scaling_factor": False, "sae_lens_training_version": None,
           "prepend_bos": True, "dataset_path": "-", "context_size": 128,
           "normalize_activations": False}, open(os.path.join(HERE, "lens_old/cfg.json"), "w"))
sae = StandardSAE.load_from_disk(os.path.join(HERE, "lens_old"))
lens_answer("lens_old", "standard", sae)
# topk in the manner of version 4
sae = lens("lens_old_topk", TopKSAE, TopKSAEConfig, "topk", unit=True, k=K)
json.dump({"d_in": D, "d_sae": M, "dtype": "float32", "device": "cpu", "model_name": "tiny-g2",
           "hook_name": "blocks.4.hook_resid_pre", "hook_layer": 4, "hook_head_index": None,
           "architecture": "standard", "activation_fn_str": "topk",
           "activation_fn_kwargs": {"k": K}, "apply_b_dec_to_input": False,
           "finetuning_scaling_factor": False, "prepend_bos": True, "context_size": 128,
           "normalize_activations": "none"}, open(os.path.join(HERE, "lens_old_topk/cfg.json"), "w"))
lens_answer("lens_old_topk", "topk", TopKSAE.load_from_disk(os.path.join(HERE, "lens_old_topk")),
            fold=False)

# --- dictionary_learning ----------------------------------------------------------------------
from dictionary_learning.dictionary import (AutoEncoder, AutoEncoderNew, GatedAutoEncoder,
                                            JumpReluAutoEncoder)
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK


def fold(ae):
    """Decoder norms into the encoder, as AutoEncoder.normalize_decoder does."""
    with t.no_grad():
        linear = hasattr(ae, "encoder")
        n = ae.decoder.weight.norm(dim=0) if linear else ae.W_dec.norm(dim=1)
        if linear:
            ae.decoder.weight /= n
            ae.encoder.weight *= n[:, None]
        else:
            ae.W_dec /= n[:, None]
            ae.W_enc *= n
        if linear and ae.encoder.bias is not None:
            ae.encoder.bias *= n
        for key in ("b_enc", "gate_bias", "mag_bias"):
            if hasattr(ae, key):
                getattr(ae, key).mul_(n)
        if hasattr(ae, "threshold") and not isinstance(ae, AutoEncoderTopK):
            ae.threshold = (t.nn.Parameter if isinstance(ae.threshold, t.nn.Parameter) else t.clone)(
                ae.threshold * n)


def dictionary(name, ae, arch, unit=False, wrap=None, **trainer):
    with t.no_grad():
        for key, p in ae.named_parameters():
            p.copy_(rand(*p.shape) * 0.6)
            if key == "threshold":
                p.abs_().mul_(0.5)
        if unit:
            ae.decoder.weight /= ae.decoder.weight.norm(dim=0, keepdim=True)
    path = os.path.join(HERE, name)
    os.makedirs(path, exist_ok=True)
    t.save(ae.state_dict() if wrap is None else wrap(ae), os.path.join(path, "ae.pt"))
    json.dump({"trainer": {"dict_class": type(ae).__name__, "activation_dim": D, "dict_size": M,
                           "layer": 3, "lm_name": "tiny-g2", "submodule_name": "resid_post_layer_3",
                           **trainer}, "buffer": {"ctx_len": 128}},
              open(os.path.join(path, "config.json"), "w"))
    if wrap is not None:
        ae.scale_biases(1.7)
    xhat = ae.decode(ae.encode(X))
    if not unit:
        fold(ae)
    say(name + "/ae.pt", arch, ae.encode(X), xhat, not unit)


dictionary("dict_standard", AutoEncoder(D, M), "standard")
dictionary("dict_new", AutoEncoderNew(D, M), "standard")
dictionary("dict_topk", AutoEncoderTopK(D, M, K), "topk", unit=True, k=K)
ae = BatchTopKSAE(D, M, K)
ae.threshold.fill_(0.3)
dictionary("dict_batchtopk", ae, "batchtopk", k=K)
ae = MatryoshkaBatchTopKSAE(D, M, K, [4, 6])
ae.threshold.fill_(0.2)
dictionary("dict_matryoshka", ae, "batchtopk", k=K)
dictionary("dict_gated", GatedAutoEncoder(D, M), "gated")
dictionary("dict_jumprelu", JumpReluAutoEncoder(D, M), "jumprelu")
ae = BatchTopKSAE(D, M, K)
ae.threshold.fill_(0.25)
dictionary("dict_backup", ae, "batchtopk", k=K, wrap=lambda ae: {
    "step": 10, "ae": ae.state_dict(), "config": {"lr": 1e-3, "layers": [1, 2], "name": None},
    "optimizer": t.optim.Adam(ae.parameters()).state_dict(), "norm_factor": 1.7})

# --- npz, in Gemma Scope's manner -------------------------------------------------------------
arrays = {"W_enc": rand(D, M), "W_dec": rand(M, D), "b_enc": rand(M) * 0.3, "b_dec": rand(D) * 0.3,
          "threshold": rand(M).abs()}
plain = {k: v.numpy() for k, v in arrays.items()}
z = X @ arrays["W_enc"] + arrays["b_enc"]
f = t.relu(z) * (z > arrays["threshold"])
xhat = f @ arrays["W_dec"] + arrays["b_dec"]
n = arrays["W_dec"].norm(dim=1)
for name, save in (("npz/params.npz", np.savez), ("npz/packed.npz", np.savez_compressed)):
    os.makedirs(os.path.join(HERE, "npz"), exist_ok=True)
    save(os.path.join(HERE, name), **plain)
    say(name, "jumprelu", f * n, xhat, True)

# --- pickles that must be refused ---------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.system, ("touch saekit-was-here",)


os.makedirs(os.path.join(HERE, "evil"), exist_ok=True)
t.save({"encoder.weight": rand(M, D), "x": Evil()}, os.path.join(HERE, "evil/system.pt"))
t.save(AutoEncoder(2, 3), os.path.join(HERE, "evil/module.pt"))
t.save([1, 2, 3], os.path.join(HERE, "evil/list.pt"))
pickle.dump({"bias": [1.0]}, open(os.path.join(HERE, "evil/bare.pt"), "wb"), protocol=2)

for root, _, files in os.walk(HERE):
    for file in files:
        if file not in ("ae.pt", "cfg.json", "config.json", "activation_scaler.json") and \
                not file.endswith((".safetensors", ".npz", ".pt")):
            os.remove(os.path.join(root, file))
with open(os.path.join(HERE, "answers.json"), "w") as out:
    json.dump({"d": D, "m": M, "n": N, "saes": answers}, out)
    out.write("\n")
