#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Golden vectors of SCR and TPP: SAEBench's own functions on small random activations.

    python3 tests/golden/ablate.py > tests/golden/ablate.json      (sae-bench 0.6.0, torch, numpy)

Texts are of 2 to 5 tokens of width 6, padded to 5 with zeros; values are multiples of 1/16, so that
bf16 holds them exactly. The autoencoder is relu(W_enc (x - b_dec) + b_enc) with 12 latents, some of
which fire on a zero vector. Probes start from given weights and see their texts in a given order
(torch.randperm is replaced). TPP: 3 classes, all texts of the others as negatives of equal number.
SCR: two classes x two attributes.
"""
import json
import sys

import numpy as np
import torch

import sae_bench.evals.scr_and_tpp.main as main
import sae_bench.evals.sparse_probing.probe_training as training

D, M, L = 6, 12, 5
EPOCHS, BATCH, LR, L1 = 6, 4, 0.05, 0.001
rng = np.random.default_rng(7)
ROUND = lambda a, by=16: np.round(a * by) / by


class Sae:
    """The interface that SAEBench calls."""

    def __init__(self):
        self.W_enc = torch.tensor(ROUND(rng.normal(size=(D, M)) * 0.5, 64), dtype=torch.float32)
        w = rng.normal(size=(M, D))
        self.W_dec = torch.tensor(w / np.linalg.norm(w, axis=1, keepdims=True), dtype=torch.float32)
        self.b_enc = torch.tensor(ROUND(rng.normal(size=M) * 0.2, 64), dtype=torch.float32)
        self.b_dec = torch.tensor(ROUND(rng.normal(size=D) * 0.2, 64), dtype=torch.float32)

    def encode(self, x):
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def decode(self, f):
        return f @ self.W_dec + self.b_dec


sae = Sae()


def texts(n, mean):
    """n texts [n][L][D], zero after their length."""
    x = ROUND(rng.normal(size=(n, L, D)) * 0.7 + mean)
    x[..., 0] += (x.sum(-1) == 0) / 16  # SAEBench takes a token that sums to zero for padding
    for i in range(n):
        x[i, rng.integers(2, L + 1):] = 0
    return torch.tensor(x, dtype=torch.float32)


def pooled(x):
    valid = (x.sum(-1) != 0).float()
    return x.sum(1) / valid.sum(1, keepdim=True)


def tokens(x):
    """The texts as lists of token rows."""
    return [[row.tolist() for row in t if row.sum() != 0] for t in x]


def train(train_x, train_y, test_x, test_y):
    """SAEBench's trainer from a recorded start and in a recorded order."""
    init = ROUND(rng.normal(size=D + 1) * 0.1, 64)
    orders = [rng.permutation(len(train_x)) for _ in range(EPOCHS)]
    fed = iter(orders)
    real_randperm, real_probe = torch.randperm, training.Probe

    def probe(dim, dtype):
        p = real_probe(dim, dtype)
        with torch.no_grad():
            p.net.weight[:] = torch.tensor(init[:D], dtype=torch.float32)
            p.net.bias[:] = float(init[D])
        return p

    torch.randperm = lambda n: torch.tensor(next(fed))
    training.Probe = probe
    with torch.enable_grad():
        made, accuracy = training.train_probe_gpu(
            train_x, train_y, test_x, test_y, dim=D, batch_size=BATCH, epochs=EPOCHS, lr=LR,
            l1_penalty=L1, early_stopping_patience=20)
    torch.randperm, training.Probe = real_randperm, real_probe
    return made, {
        "init": init.tolist(), "order": [int(i) for o in orders for i in o],
        "w": made.net.weight.detach().flatten().tolist(), "b": made.net.bias.item(),
        "accuracy": accuracy}


def joined(positive, negative):
    return (torch.cat([positive, negative]),
            torch.tensor([1] * len(positive) + [0] * len(negative), dtype=torch.int))


def effects(probe, x, y, scr):
    """SAEBench's effects of a task whose texts are fixed."""
    real = training.prepare_probe_data
    training.prepare_probe_data = lambda *_: (x, y)
    e = main.get_effects_per_class_precomputed_acts(sae, probe, "", {"": x}, scr, 4)
    training.prepare_probe_data = real
    return e


def accuracy(probe, x, y):
    return training.test_probe_gpu(x, y, 100, probe)


N = [1, 2, 4, 9]
out = {"d": D, "m": M, "padding": L, "epochs": EPOCHS, "batch": BATCH, "lr": LR, "l1": L1, "n": N,
       "W_enc": sae.W_enc.T.flatten().tolist(), "W_dec": sae.W_dec.flatten().tolist(),
       "b_enc": sae.b_enc.tolist(), "b_dec": sae.b_dec.tolist()}
sys.stdout, stdout = sys.stderr, sys.stdout  # SAEBench talks

# --- TPP: class c against all texts of the two others, half of each ---------------------------------
n_train, n_test = 8, 6
means = ROUND(rng.normal(size=(3, 1, 1, D)) * 0.5)
data = [{"train": texts(n_train, means[c]), "test": texts(n_test, means[c])} for c in range(3)]
tasks, probes = [], []
for c in range(3):
    sides = {}
    for split, n in (("train", n_train), ("test", n_test)):
        others = torch.cat([data[o][split][: n // 2] for o in range(3) if o != c])
        sides[split] = joined(data[c][split], others)
    probe, record = train(pooled(sides["train"][0]), sides["train"][1],
                          pooled(sides["test"][0]), sides["test"][1])
    tasks.append(sides)
    probes.append(probe)
    record["effect"] = effects(probe, *sides["train"], False).tolist()
    data[c]["record"] = record
clean = {str(c): accuracy(probes[c], pooled(tasks[c]["test"][0]), tasks[c]["test"][1])
         for c in range(3)}
ablated = {}
for c in range(3):
    ablated[str(c)] = {}
    for n in N:
        mask = main.select_top_n_features(torch.tensor(data[c]["record"]["effect"]), n, str(c))
        data[c]["record"].setdefault("masks", []).append(mask.int().tolist())
        ablated[str(c)][n] = {
            str(j): accuracy(probes[j],
                             main.ablated_precomputed_activations(tasks[j]["test"][0], sae, mask, 4),
                             tasks[j]["test"][1]) for j in range(3)}
_, per_class = main.create_tpp_plotting_dict(ablated, clean)
out["tpp"] = {
    "classes": [{"train": tokens(t["train"]), "test": tokens(t["test"]), **t["record"],
                 "clean": clean[str(c)],
                 "score": [[per_class[str(c)][f"tpp_threshold_{n}_{k}"] for k in
                            ("total_metric", "intended_diff_only", "unintended_diff_only")] for n in N]}
                for c, t in enumerate(data)]}

# --- SCR: quadrants [class][attribute]; the biased ones have twice as many texts ---------------------
q_train, q_test = 4, 3
by_class, by_attribute = (ROUND(rng.normal(size=(2, D)) * 0.6) for _ in range(2))
quadrant = [[{s: texts((2 if c == a else 1) * q, by_class[c] + by_attribute[a])
              for s, q in (("train", q_train), ("test", q_test))} for a in range(2)] for c in range(2)]


def scr_side(which, split):
    q = q_train if split == "train" else q_test
    at = lambda c, a, n=q: quadrant[c][a][split][:n]
    if which == "male / female":
        return joined(torch.cat([at(0, 0), at(1, 0)]), torch.cat([at(0, 1), at(1, 1)]))
    if which == "professor / nurse":
        return joined(torch.cat([at(0, 0), at(0, 1)]), torch.cat([at(1, 0), at(1, 1)]))
    return joined(at(0, 0, 2 * q), at(1, 1, 2 * q))


KEYS = ["male / female", "professor / nurse", "male_professor / female_nurse"]
records, scr_probes = [], {}
for key in KEYS:
    a, b = scr_side(key, "train"), scr_side(key, "test")
    scr_probes[key], record = train(pooled(a[0]), a[1], pooled(b[0]), b[1])
    record["effect"] = effects(scr_probes[key], *a, True).tolist()
    records.append(record)
clean = {k: accuracy(scr_probes[k], pooled(scr_side(k, "test")[0]), scr_side(k, "test")[1])
         for k in KEYS}
for k in KEYS[:2]:
    x, y = scr_side(k, "test")
    clean[f"{KEYS[2]} probe on {k} data"] = accuracy(scr_probes[KEYS[2]], pooled(x), y)
ablated = {}
for k, other in ((KEYS[0], KEYS[1]), (KEYS[1], KEYS[0])):
    ablated[k] = {}
    x, y = scr_side(other, "test")
    for n in N:
        mask = main.select_top_n_features(torch.tensor(records[KEYS.index(k)]["effect"]), n, k)
        ablated[k][n] = {f"{KEYS[2]} probe on {other} data": accuracy(
            scr_probes[KEYS[2]], main.ablated_precomputed_activations(x, sae, mask, 4), y)}
scores = main.get_scr_plotting_dict(ablated, clean)
out["scr"] = {
    "quadrants": [[{s: tokens(quadrant[c][a][s]) for s in ("train", "test")} for a in range(2)]
                  for c in range(2)],
    "tasks": records, "clean": clean,
    "score": [[scores.get(f"scr_{k}_threshold_{n}") for k in ("dir1", "metric", "dir2")] for n in N]}
json.dump(out, stdout)
stdout.write("\n")
