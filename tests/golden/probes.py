# SPDX-License-Identifier: MIT
"""Recipe of probes.json: the package sae-probes 0.4 itself on made-up activations.

    pip install sae-probes==0.4.0        # or --no-deps beside numpy, scikit-learn, pandas, zstandard, torch
    python3 tests/golden/probes.py > tests/golden/probes.json

Activations, labels and autoencoder come from a formula that the test repeats (`number`), in steps that
f32 holds exactly, so that nothing but answers is kept. `llm` is the package's own baseline: with
activations in f64, and (`llm_f32`) in f32, as a language model gives them; scikit-learn 1.9 then fits in
f32, whose rounding decides where the path of the solver stops."""
import contextlib
import io
import json
import os
import sys
import tempfile
import types

import numpy as np
import torch

for name, members in (("sae_lens", ["SAE"]), ("transformer_lens", ["HookedTransformer"]),
                      ("transformers.tokenization_utils_base", ["PreTrainedTokenizerBase"]),
                      ("xgboost", [])):  # named in type hints, or not called here
    try:
        __import__(name)
    except ImportError:
        parts = name.split(".")
        for i in range(len(parts)):
            sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(parts[i]))
        for member in members:
            setattr(sys.modules[name], member, object)

import sae_probes
import sklearn
from sae_probes import generate_sae_activations, run_baselines, run_sae_evals, utils_data  # noqa

KS = [1, 2, 5, 16]
SETS = [("even", 700, 40), ("large", 1300, 40), ("wide", 400, 320)]
M = 96
HOOK = "blocks.0.hook_resid_post"


def number(i):
    """Whole numbers like a bell, of spread 148: four bytes of SplitMix64 (Steele et al. 2014)."""
    z = np.asarray(i, np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z = z ^ z >> np.uint64(31)
    return sum((z >> np.uint64(s) & np.uint64(255)).astype(np.int64) for s in (32, 40, 48, 56)) - 510


def activations(n, d):
    y = (np.arange(n) * 7919 % n < n // 2).astype(np.int64)
    x = number(np.arange(n * d)).reshape(n, d)
    signal = np.where(np.arange(d) % 4 == 0, number(10**6 + np.arange(d)) // 2, 0)
    return (x + y[:, None] * signal) / 64, y


class Sae:
    """relu(W x + b); latents 0 to 7 never fire, 8 to 11 always say the same."""

    def __init__(self, d):
        w = number(2 * 10**6 + np.arange(M * d)).reshape(M, d)
        b = number(3 * 10**6 + np.arange(M)) * 32
        w[:12] = 0
        b[:8] = -10**6
        b[8:12] = 1000 * (1 + np.arange(4))
        self.w = torch.tensor(w / 512, dtype=torch.float32)
        self.b = torch.tensor(b / 32768, dtype=torch.float32)

    def encode(self, x):
        return torch.relu(x.float() @ self.w.T + self.b)


def run(name, n, d):
    x, y = activations(n, d)
    utils_data.get_yvals = lambda tag: y
    for module in (generate_sae_activations, run_baselines):
        module.DATASET_SIZES[name] = n
    out = {"name": name, "n": n, "d": d}
    for dtype in (torch.float64, torch.float32):
        with tempfile.TemporaryDirectory() as at, contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()):
            os.mkdir(f"{at}/model_activations_made_up")
            torch.save(torch.tensor(x, dtype=dtype),
                       f"{at}/model_activations_made_up/{name}_{HOOK}.pt")
            common = dict(model_name="made_up", hook_name=HOOK, setting="normal", datasets=[name],
                          model_cache_path=at, results_path=at, device="cpu")
            run_baselines.run_baseline_evals(**common)
            with open(f"{at}/baseline_results_made_up/normal_setting/{name}_{HOOK}_logreg.json") as f:
                llm = json.load(f)[0]
            key = "llm" if dtype == torch.float64 else "llm_f32"
            out[key] = {k: llm[k] for k in ("test_acc", "test_auc", "test_f1", "val_auc")}
            if dtype == torch.float32:
                run_sae_evals(sae=Sae(d), reg_type="l1", ks=KS, **common)
                with open(f"{at}/sae_probes_made_up/normal_setting/{name}_{HOOK}_l1.json") as f:
                    found = json.load(f)
                out["latents"] = found[-1]["indices"]
                out["sae"] = [{k: e[k] for k in ("k", "test_acc", "test_auc", "test_f1", "val_auc")}
                              for e in found]
    n_train = min(n - 100, 1024)
    train, test = utils_data.get_train_test_indices(y, n_train, n - n_train - 1)
    return out | {"train": train.tolist(), "test": test.tolist()}


print(json.dumps({"sae_probes": sae_probes.__version__, "sklearn": sklearn.__version__,
                  "numpy": np.__version__, "torch": torch.__version__, "ks": KS, "m": M,
                  "sets": [run(*s) for s in SETS]}))
