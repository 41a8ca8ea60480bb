#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sae-probe --protocol sae-probes beside the package sae-probes itself, on the package's own texts.

    pip install sae-probes==0.4.0 h5py
    tests/parity/probes.py                         # the table of docs/PARITY.md
    tests/parity/probes.py --made-up 2304,4096     # the row of docs/PERFORMANCE.md

sae-harvest reads the package's files and keeps the activations of the shipped language model, sae-train
makes an autoencoder, sae-probe probes it. The package then draws, ranks, fits and judges by its own
functions from the same activations. With --made-up D,M activations are random, of a real model's width:
for seconds of processor time, of whole sets, each side once, on one thread. saekit's are of the whole
program; the package's begin after its imports."""
import argparse
import contextlib
import glob
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import h5py
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
from sae_probes import run_baseline_evals, run_sae_evals
from sae_probes.utils_data import DATA_PATH

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOOK = "blocks.0.hook_resid_post"
SETS = "22_headline_isobama,95_toxic_is,139_news_class_Politics,151_it_tick_HR Support"


class TopK:
    """saekit's checkpoint as the package wants it: something that encodes."""

    def __init__(self, path):
        with h5py.File(path) as f:
            self.w, self.b, self.b_dec = (torch.tensor(f[k][()]) for k in ("W_enc", "b_enc", "b_dec"))
            self.k = int(f.attrs["k"])

    def encode(self, x):
        pre = (x.float() - self.b_dec) @ self.w.T + self.b
        top = torch.topk(pre, self.k, dim=-1)
        return torch.zeros_like(pre).scatter_(-1, top.indices, torch.relu(top.values))


def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def saekit(args, name, *options):
    began = cpu()
    out = subprocess.run([os.path.join(args.build, name[4:], name), "-q", "--threads", "1", *options],
                         cwd=args.work, stdout=subprocess.PIPE, check=True).stdout
    return out, cpu() - began


def find(name):
    return glob.glob(str(DATA_PATH / "cleaned_data" / f"{name}.csv.zst"))


def harvest(args):
    files = [f for s in args.sets.split(",") for f in find(s)]
    text = sorted(glob.glob(os.path.join(root, "docs", "*.md")))
    saekit(args, "sae-harvest", "--model", args.model, "--layer", str(args.layer), "-o", "acts", "--text",
           *text, "--sae-probes", ",".join(files))


def make_up(args, d):
    """A store and three sets of random activations, half of a few columns telling the class."""
    rng = np.random.RandomState(0)
    base = rng.randn(40, d).astype(np.float32) * np.linspace(3, 0.3, 40, dtype=np.float32)[:, None]

    def rows(n, y):
        z = rng.randn(n, 40).astype(np.float32)
        z[:, 5] += y
        z[:, 20] += y / 2
        return z @ base + rng.randn(n, d).astype(np.float32) * 0.5 + 1

    np.save(os.path.join(args.work, "rows.npy"), rows(20000, np.zeros(20000)))
    saekit(args, "sae-harvest", "--import", "rows.npy", "-o", "acts")
    for name in args.sets.split(","):
        n = sae_probes.generate_sae_activations.DATASET_SIZES[name]
        y = sae_probes.utils_data.get_yvals(name)
        x = rows(n, 2.0 * y - 1)
        with h5py.File(os.path.join(args.work, "acts", f"last_{name}.h5"), "w") as f:
            f["x"], f["label"] = x, y.astype(np.uint8)
            f["classes"] = np.array([b"no", b"yes"])
            f["record"] = "{}"
            f.attrs.update(kind="last", format_version=np.uint64(1), id=f"{hash(name) % 2**63:064x}")


def package(args, sae, sets):
    """Scores of each set, and seconds of the autoencoder's and the activations' probes."""
    scores, seconds = {}, {}
    with tempfile.TemporaryDirectory() as at, contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()):
        os.mkdir(f"{at}/model_activations_m")
        for name, x in sets.items():
            torch.save(torch.tensor(x), f"{at}/model_activations_m/{name}_{HOOK}.pt")
        common = dict(model_name="m", hook_name=HOOK, setting="normal", datasets=list(sets),
                      model_cache_path=at, results_path=at, device="cpu")
        began = time.process_time()
        run_sae_evals(sae=sae, reg_type="l1", ks=[1, 2, 5], **common)
        seconds["sae"] = time.process_time() - began
        began = time.process_time()
        run_baseline_evals(**common)
        seconds["llm"] = time.process_time() - began
        for name in sets:
            with open(f"{at}/sae_probes_m/normal_setting/{name}_{HOOK}_l1.json") as f:
                scores[name] = json.load(f)
            with open(f"{at}/baseline_results_m/normal_setting/{name}_{HOOK}_logreg.json") as f:
                scores[name].append(json.load(f)[0] | {"k": None})
    return scores, seconds


def compare(result, scores):
    print("| set | k | AUC: saekit | sae-probes | accuracy: saekit | sae-probes | F1: saekit | sae-probes "
          "| latents |\n|---|---|---|---|---|---|---|---|---|")
    worst = {False: 0.0, True: 0.0}
    choices = result["eval_result_unstructured"]["choices"]
    for detail in result["eval_result_details"]:
        name = detail["dataset_name"]
        for e in scores[name]:
            key = f"sae_top_{e['k']}" if e["k"] else "llm"
            cells, equal = [], ""
            for ours, theirs in (("auc", "test_auc"), ("accuracy", "test_acc"), ("f1", "test_f1")):
                a, b = detail[f"{key}_test_{ours}"], e[theirs]
                worst[e["k"] is None] = max(worst[e["k"] is None], abs(a - b))
                cells += [f"{a:.5f}", f"{b:.5f}"]
            if e["k"]:
                equal = "equal" if choices[name]["latents"][:e["k"]] == e["indices"] else "other"
            print(f"| {name} | {e['k'] or 'activation'} | {' | '.join(cells)} | {equal} |")
    print(f"\nOff by at most: latents {worst[False]:.1e}, activation {worst[True]:.1e}.")
    return worst[False] > 1e-3


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(root, "build"))
    p.add_argument("--model", default=os.path.join(root, "data", "tiny-g2"))
    p.add_argument("--layer", type=int, default=3)
    p.add_argument("--sets", default=SETS)
    p.add_argument("--made-up", metavar="D,M")
    args = p.parse_args()
    args.build, args.model = os.path.abspath(args.build), os.path.abspath(args.model)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as args.work:
        d, m = (int(v) for v in args.made_up.split(",")) if args.made_up else (0, 1024)
        if args.made_up:
            make_up(args, d)
        else:
            harvest(args)
        saekit(args, "sae-train", "--acts", "acts", "--arch", "topk", "--k", "32", "--m", str(m),
               "--tokens", "20k" if args.made_up else "200k", "-o", "run")
        sets = {}
        for path in sorted(glob.glob(os.path.join(args.work, "acts", "last_*.h5"))):
            with h5py.File(path) as f:
                sets[os.path.basename(path)[5:-3]] = f["x"][()]
        out, both = saekit(args, "sae-probe", "--protocol", "sae-probes", "--json", "run")
        _, alone = saekit(args, "sae-probe", "--protocol", "sae-probes", "--no-full", "--json", "run")
        scores, seconds = package(args, TopK(os.path.join(args.work, "run", "ckpt_100.h5")), sets)
        bad = compare(json.loads(out), scores)
        texts = sum(len(x) for x in sets.values())
        print(f"\n| {len(sets)} sets, {texts} texts, processor seconds | saekit | sae-probes | times |\n"
              f"|---|---|---|---|\n"
              f"| latents, k = 1, 2, 5 | {alone:.2f} | {seconds['sae']:.2f} | {seconds['sae'] / alone:.1f} |\n"
              f"| and the activation | {both:.2f} | {sum(seconds.values()):.2f} "
              f"| {sum(seconds.values()) / both:.1f} |")
    return bad


if __name__ == "__main__":
    sys.exit(main())
