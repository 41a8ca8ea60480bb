#!/usr/bin/env python3
"""Measure a model folder (float32 arithmetic on the stored bf16 weights).

usage: evaluate.py FOLDER PACKED_DIR [--quick] [--json FILE] [--threads N]

Prints held-out cross-entropy per source, first-letter accuracy after ten
in-context examples, the linear probes at the word's own position, and samples.
"""
import argparse
import json
import math
import os

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F

import corpus
import model as M
import spelling
import train

T = 256
LAYER = 3
DOMAIN = {name: domain for name, (_, domain, _) in corpus.SOURCES.items()}


def nats(p, c, ids, tab, batch=8):
    total, n = 0.0, 0
    for i in range(0, len(ids), batch):
        x = torch.from_numpy(ids[i:i + batch].astype(np.int64))
        z = M.logits(p, c, M.blocks(p, c, x, tab)[:, :-1])
        t = x[:, 1:]
        ok = t != 2
        ce = F.cross_entropy(z.reshape(-1, z.size(-1)), t.reshape(-1), reduction="none").view(t.shape)
        total += float(ce[ok].double().sum())
        n += int(ok.sum())
    return total, n


def held_out(p, c, data, tab, quick):
    unigram = np.ones(c["vocab_size"])
    for f in sorted(os.listdir(data)):
        if f.endswith(".train.npz"):
            unigram += np.bincount(np.load(f"{data}/{f}")["ids"], minlength=c["vocab_size"])
    unigram = -np.log(unigram / unigram.sum())
    per = {}
    for name, dom in DOMAIN.items():
        z = np.load(f"{data}/{name}.heldout.npz")
        docs = np.split(z["ids"], z["ends"][:-1])
        if quick:
            docs = docs[:max(1, len(docs) // 5)]
        docs = docs + [np.zeros(T, np.uint16)]       # filler so that the tail is kept
        r = train.rows(docs, 2, T)
        cut = (r == 0).argmax(1)
        r = r[(cut == 0) | (cut > 1)]
        ids = r.astype(np.int64)
        # filler positions must not be scored: mark them as BOS, which is skipped
        ids[ids == 0] = 2
        s, n = nats(p, c, ids, tab)
        b = float(z["bytes"]) / len(z["ids"]) * n
        u = float(unigram[ids[:, 1:][ids[:, 1:] != 2]].sum())
        e = per.setdefault(dom, np.zeros(4))
        e += (s, n, b, u)
    res = {}
    tot = sum(per.values())
    for dom, e in list(per.items()) + [("all", tot)]:
        s, n, b, u = e
        res[dom] = {"tokens": int(n), "nats_per_token": round(float(s / n), 4),
                    "bits_per_byte": round(float(s / math.log(2) / b), 4),
                    "unigram_nats_per_token": round(float(u / n), 4)}
    return res


def prompts(sp, words, pool, rng, e, cap, text, nl):
    """Ten in-context lines from pool and the question for each word."""
    out = []
    for w in words:
        while True:
            ex = rng.choice(pool, 10, replace=False)
            if w not in ex:
                break
        ids = [2]
        for x in ex:
            ids += [nl, int(x), *e, cap[text[int(x)][0].upper()]]
        ids += [nl, int(w), *e]
        out.append(ids)
    return np.array(out)


def run_prompts(p, c, ids, layers):
    """Predicted next token, and resid_post of the layers at position -6."""
    tab = M.tables(c, ids.shape[1])
    pred, acts = [], {k: [] for k in layers}
    for i in range(0, len(ids), 32):
        r = []
        x = M.blocks(p, c, torch.from_numpy(ids[i:i + 32].astype(np.int64)), tab, resid=r)
        pred.append(M.logits(p, c, x[:, -1]).argmax(-1))
        for k in layers:
            acts[k].append(r[k][:, -6])
    return torch.cat(pred).numpy(), {k: torch.cat(v) for k, v in acts.items()}


def f1(y, hit, classes):
    out = {}
    for k in classes:
        tp = int((hit[:, k] & (y == k)).sum())
        fp = int((hit[:, k] & (y != k)).sum())
        fn = int((~hit[:, k] & (y == k)).sum())
        out[k] = 2 * tp / max(1, 2 * tp + fp + fn)
    return out


def multinomial(xa, ya, xb):
    """26-way logistic regression, L2, standardised inputs; test decisions [n, 26]."""
    mu, sd = xa.mean(0), xa.std(0) + 1e-6
    xa, xb = (xa - mu) / sd, (xb - mu) / sd
    w = torch.zeros(26, xa.size(1), requires_grad=True)
    b = torch.zeros(26, requires_grad=True)
    opt = torch.optim.LBFGS([w, b], max_iter=200, history_size=10, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        v = F.cross_entropy(xa @ w.T + b, ya) + 1e-4 * w.pow(2).sum()
        v.backward()
        return v
    opt.step(closure)
    z = (xb @ w.T + b).detach()
    return F.one_hot(z.argmax(-1), 26).bool()


def one_vs_rest(xa, ya, xb, seed=0):
    """SAEBench's probe: 26 sigmoid outputs, class-weighted BCE, Adam, 50 epochs."""
    g = torch.Generator().manual_seed(seed)
    d = xa.size(1)
    w = ((torch.rand(26, d, generator=g) * 2 - 1) / d ** 0.5).requires_grad_()
    b = ((torch.rand(26, generator=g) * 2 - 1) / d ** 0.5).requires_grad_()
    y = F.one_hot(ya, 26).float()
    pos = y.sum(0).clamp(min=1)
    pw = (len(y) - pos) / pos
    opt = torch.optim.Adam([w, b], lr=1e-2, weight_decay=1e-4)
    for ep in range(50):
        for gr in opt.param_groups:
            gr["lr"] = 1e-2 * (1e-3) ** (ep / 50)
        for i in torch.randperm(len(y), generator=g).split(64):
            opt.zero_grad()
            F.binary_cross_entropy_with_logits(xa[i] @ w.T + b, y[i], pos_weight=pw).backward()
            opt.step()
    return ((xb @ w.T + b) > 0).detach()


def letters(p, c, sp, quick, layers, seed=7, bare_too=False):
    s = spelling.Speller(sp, 0)
    words = np.array(s.spaced + (s.bare if bare_too else []))
    rng = np.random.default_rng(seed)
    rng.shuffle(words)
    e = s.e[" has the first letter:"]
    k = int(0.8 * len(words))
    tr, te = words[:k], words[k:]
    ids = np.concatenate([prompts(sp, part, part, rng, e, s.cap, s.text, s.nl) for part in (tr, te)])
    y = np.array([ord(s.text[int(w)][0].upper()) - 65 for w in words])
    pred, acts = run_prompts(p, c, ids, layers)
    right = pred == np.array([s.cap[chr(65 + v)] for v in y])
    res = {"words": len(words), "accuracy": round(float(right.mean()), 4), "probe": {}}
    yt = torch.from_numpy(y)
    classes = [v for v in range(26) if int((yt[k:] == v).sum()) >= 4]
    for layer, x in acts.items():
        for kind, fit in (("multinomial", multinomial), ("one_vs_rest", one_vs_rest)):
            if kind == "one_vs_rest" and layer != LAYER:
                continue
            hit = fit(x[:k], yt[:k], x[k:])
            f = f1(yt[k:], hit, classes)
            res["probe"][f"layer_{layer}_{kind}"] = {
                "mean_f1": round(float(np.mean(list(f.values()))), 4), "letters": len(f),
                "letters_f1_over_0.6": sum(v > 0.6 for v in f.values()),
                "f1": {chr(97 + v): round(f[v], 3) for v in f}}
    return res


def sample(p, c, ids, n, seed, temperature=0.7, top=40):
    g = torch.Generator().manual_seed(seed)
    ids = list(ids)
    for _ in range(n):
        x = torch.tensor([ids[-255:]])
        z = M.logits(p, c, M.blocks(p, c, x, M.tables(c, x.size(1)))[0, -1]) / temperature
        v, i = z.topk(top)
        i = int(i[torch.multinomial(torch.softmax(v, -1), 1, generator=g)])
        if i == c["bos_token_id"]:
            break
        ids.append(i)
    return ids


def samples(p, c, sp, data, n=45):
    out = []
    for k, name in enumerate(("wordnet", "web", "jargon", "python", "postgresql")):
        z = np.load(f"{data}/{name}.heldout.npz")
        ids = [2] + [int(v) for v in z["ids"][:30]]
        full = sample(p, c, ids, n, 100 + k)
        out.append({"source": name, "prompt": sp.decode(ids[1:]), "continuation": sp.decode(full[len(ids):])})
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("folder")
    a.add_argument("data")
    a.add_argument("--quick", action="store_true")
    a.add_argument("--json")
    a.add_argument("--threads", type=int, default=1)
    o = a.parse_args()
    torch.set_num_threads(o.threads)
    c, p = M.load(o.folder)
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{o.folder}/tokenizer.model")
    with torch.no_grad():
        res = {"held_out": held_out(p, c, o.data, M.tables(c, T), o.quick)}
        for k, v in res["held_out"].items():
            print(k, json.dumps(v), flush=True)
    torch.set_grad_enabled(True)
    jobs = [("spaced", False)] if o.quick else [("spaced", False), ("all", True)]
    for name, bare in jobs:
        layers = [LAYER] if o.quick or bare else list(range(c["num_hidden_layers"]))
        res[name] = letters(p, c, sp, o.quick, layers, bare_too=bare)
        r = res[name]
        print(name, r["words"], "words, accuracy", r["accuracy"])
        for k, v in r["probe"].items():
            print(" ", k, v, flush=True)
    with torch.no_grad():
        res["samples"] = samples(p, c, sp, o.data)
    for s in res["samples"]:
        print(f"--- {s['source']}: {s['prompt']} [[{s['continuation']}]]")
    if o.json:
        with open(o.json, "w") as f:
            json.dump(res, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
