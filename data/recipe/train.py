#!/usr/bin/env python3
"""Train tiny-g2.

usage: train.py pack  CORPUS_DIR TOKENIZER OUT_DIR      tokenise the corpus
       train.py train OUT_DIR RUN_DIR [options]         train (resumes from RUN_DIR)
"""
import argparse
import json
import math
import os
import sys
import time

import numpy as np
import sentencepiece
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import model as M
import spelling

T = 256
# how often a source is seen in one pass over the prose
REPEAT = {"jargon": 2, "devil": 3, "wordnet": 1, "kjv": 1, "web": 1, "boost": 1}


def pack(corpus, tokenizer, out):
    os.makedirs(out, exist_ok=True)
    sp = sentencepiece.SentencePieceProcessor(model_file=tokenizer)
    info = json.load(open(f"{corpus}/corpus.json"))["sources"]
    sizes = {}
    for name in info:
        for part in ("train", "heldout"):
            docs = [json.loads(x)["text"] for x in open(f"{corpus}/{name}.{part}.jsonl", encoding="utf-8")]
            ids = [np.array(x, dtype=np.uint16) for x in sp.encode(docs)]
            np.savez(f"{out}/{name}.{part}.npz", ids=np.concatenate(ids),
                     ends=np.cumsum([len(x) for x in ids]), bytes=sum(len(d.encode()) for d in docs))
            sizes[f"{name}.{part}"] = int(sum(len(x) for x in ids))
    with open(f"{out}/tokenizer.model", "wb") as f:
        f.write(open(tokenizer, "rb").read())
    print(sizes, sum(v for k, v in sizes.items() if "train" in k))


def rows(docs, bos, length):
    """Cut [BOS] doc [BOS] doc ... into contexts that each start with one BOS."""
    stream = np.concatenate([np.concatenate(([bos], d)) for d in docs]).astype(np.uint16)
    out, at = [], 0
    while at + length <= len(stream):
        if stream[at] == bos:
            out.append(stream[at:at + length])
            at += length
        else:
            out.append(np.concatenate(([bos], stream[at:at + length - 1])).astype(np.uint16))
            at += length - 1
    return np.stack(out)


class Prose:
    """Rows of the prose corpus, document order and row order new in each pass."""

    def __init__(self, data, bos, seed):
        self.bos, self.seed, self.docs = bos, seed, []
        for f in sorted(x for x in os.listdir(data) if x.endswith(".train.npz")):
            z = np.load(f"{data}/{f}")
            d = np.split(z["ids"], z["ends"][:-1])
            self.docs += d * REPEAT.get(f.split(".")[0], 1)
        self.epoch, self.rows, self.at = -1, np.zeros((0, T), np.uint16), 0

    def take(self, n):
        out = []
        while len(out) < n:
            if self.at == len(self.rows):
                self.epoch += 1
                rng = np.random.default_rng([self.seed, self.epoch])
                order = rng.permutation(len(self.docs))
                self.rows = rows([self.docs[i] for i in order], self.bos, T)
                rng.shuffle(self.rows)
                self.at = 0
                print(f"pass {self.epoch}: {self.rows.size} tokens", flush=True)
            k = min(n - len(out), len(self.rows) - self.at)
            out += list(self.rows[self.at:self.at + k])
            self.at += k
        return out


def newton_schulz(g):
    """Approximate orthogonal factor of a batch of matrices (quintic iteration)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """Muon for the hidden matrices, Adam for the embedding and the norms."""

    def __init__(self, p, o):
        self.p, self.o, self.step_no = p, o, 0
        self.groups = {}
        for n, t in p.items():
            if t.dim() == 2 and "embed" not in n:
                self.groups.setdefault((n.split(".")[-2]), []).append(n)
        self.adam = [n for n in p if p[n].dim() == 1 or "embed" in n]
        self.m = {n: torch.zeros_like(t) for n, t in p.items()}
        self.v = {n: torch.zeros_like(p[n]) for n in self.adam}

    def step(self, scale):
        self.step_no += 1
        o, p = self.o, self.p
        with torch.no_grad():
            mom = min(0.95, 0.85 + 0.1 * self.step_no / 300)
            for names in self.groups.values():
                g = []
                for n in names:
                    self.m[n].lerp_(p[n].grad, 1 - mom)
                    g.append(p[n].grad.lerp(self.m[n], mom))
                u = newton_schulz(torch.stack(g))
                lr = o.lr_matrix * scale * max(1.0, u.size(-2) / u.size(-1)) ** 0.5
                for n, x in zip(names, u):
                    p[n].mul_(1 - lr * o.decay).add_(x, alpha=-lr)
            b1, b2 = 0.9, 0.95
            for n in self.adam:
                g = p[n].grad
                self.m[n].lerp_(g, 1 - b1)
                self.v[n].lerp_(g * g, 1 - b2)
                mh = self.m[n] / (1 - b1 ** self.step_no)
                vh = self.v[n] / (1 - b2 ** self.step_no)
                lr = (o.lr_embed if "embed" in n else o.lr_norm) * scale
                p[n].add_(mh / (vh.sqrt() + 1e-10), alpha=-lr)
        for t in p.values():
            t.grad = None

    def state(self):
        return {"m": self.m, "v": self.v, "step_no": self.step_no}

    def load(self, s):
        self.m, self.v, self.step_no = s["m"], s["v"], s["step_no"]


def init(c, seed):
    g = torch.Generator().manual_seed(seed)
    p = {}
    for n, s in M.shapes(c).items():
        if len(s) == 1:
            p[n] = torch.full(s, -0.5 if "post_" in n else 0.0)
        else:
            p[n] = torch.randn(s, generator=g) * (0.04 if "embed" in n else 0.7 / math.sqrt(s[1]))
    return p


def train(rank, o):
    """One of o.procs processes; each takes its share of every step's micro-batches."""
    if o.procs > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group("gloo", init_method=f"file://{os.path.abspath(o.run)}/meet.{os.getppid()}",
                                rank=rank, world_size=o.procs)
    torch.manual_seed(o.seed)
    torch.set_num_threads(o.threads)
    c = M.TINY_G2
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{o.data}/tokenizer.model")
    bos = sp.bos_id()
    speller = spelling.Speller(sp, o.seed + 1)
    if rank == 0:
        print("spelling words:", len(speller.spaced), "spaced,", len(speller.bare), "bare; round trip",
              spelling.Speller(sp, o.seed).check(), flush=True)
    prose = Prose(o.data, bos, o.seed)
    p = init(c, o.seed)
    opt = Optimizer(p, o)
    done = 0
    ck = f"{o.run}/last.pt"
    log = open(f"{o.run}/log.txt", "a")
    n_spell = round(o.batch * o.spelling)

    def batch():
        b = prose.take(o.batch - n_spell) + [speller.row(T, bos) for _ in range(n_spell)]
        return torch.from_numpy(np.stack([np.asarray(r, dtype=np.int64) for r in b]))

    if os.path.exists(ck):
        s = torch.load(ck)
        p, done = s["p"], s["step"]
        opt = Optimizer(p, o)
        opt.load(s["opt"])
        for _ in range(done):           # replay the data order
            batch()
        print("resumed at step", done, flush=True)
    for t in p.values():
        t.requires_grad_(True)
    tab = M.tables(c, T)

    def length():
        """The number of steps can be changed while training: RUN_DIR/steps."""
        try:
            return max(step + 1, int(open(f"{o.run}/steps").read()))
        except (OSError, ValueError):
            return o.steps

    def f(ids):
        return M.loss(p, c, ids, tab, torch.bfloat16)
    if o.compile:
        f = torch.compile(f)
    start, seen, acc = time.time(), 0, []
    micro = [slice(i, i + o.micro) for i in range(0, o.batch, o.micro)]
    step = done - 1
    while step + 1 < o.steps:
        step += 1
        ids = batch()
        # interleave so that every micro-batch holds the same mix
        ids = ids[np.arange(o.batch).reshape(len(micro), -1, order="F").reshape(-1)]
        total = 0.0
        for m in micro[rank::o.procs]:
            v = f(ids[m]) / len(micro)
            v.backward()
            total += v.item()
        if o.procs > 1:
            flat = torch.cat([t.grad.reshape(-1) for t in p.values()] +
                             [torch.tensor([total, float(length() if rank == 0 else 0)])])
            dist.all_reduce(flat)
            total, o.steps = flat[-2].item(), int(flat[-1].item())
            for t, g in zip(p.values(), flat[:-2].split([t.numel() for t in p.values()])):
                t.grad = g.view_as(t)
        scale = min(1.0, (step + 1) / o.warmup) * min(1.0, (o.steps - step) / (o.steps * o.cooldown))
        opt.step(scale)
        acc.append(total)
        seen += ids.numel()
        if rank == 0 and ((step + 1) % 20 == 0 or step + 1 == o.steps):
            line = (f"step {step + 1}/{o.steps} loss {sum(acc) / len(acc):.4f} "
                    f"tok/s {seen / (time.time() - start):.0f} scale {scale:.3f}")
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()
            acc = []
            if not math.isfinite(total):
                sys.exit("loss is not finite")
        if rank == 0 and ((step + 1) % o.every == 0 or step + 1 == o.steps):
            torch.save({"p": {k: v.detach() for k, v in p.items()}, "opt": opt.state(),
                        "step": step + 1}, ck + ".tmp")
            os.replace(ck + ".tmp", ck)
            export(p, o.run + "/export", o.data)
    return p


def export(p, folder, data):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/config.json", "w") as f:
        json.dump(M.TINY_G2, f, indent=2)
        f.write("\n")
    with open(f"{folder}/tokenizer.model", "wb") as f:
        f.write(open(f"{data}/tokenizer.model", "rb").read())
    M.save(f"{folder}/model.safetensors", p)


def main():
    if sys.argv[1] == "pack":
        return pack(*sys.argv[2:5])
    a = argparse.ArgumentParser()
    a.add_argument("data")
    a.add_argument("run")
    a.add_argument("--steps", type=int, required=True)
    a.add_argument("--batch", type=int, default=32, help="contexts a step")
    a.add_argument("--micro", type=int, default=8, help="contexts a micro-batch")
    a.add_argument("--spelling", type=float, default=0.22, help="share of spelling contexts")
    a.add_argument("--seed", type=int, default=20240603)
    a.add_argument("--procs", type=int, default=2, help="processes that share each step")
    a.add_argument("--threads", type=int, default=1, help="threads of each process")
    a.add_argument("--warmup", type=int, default=100)
    a.add_argument("--cooldown", type=float, default=0.6, help="last share of the steps, over which the rate falls to zero")
    a.add_argument("--lr-matrix", type=float, default=0.02)
    a.add_argument("--lr-embed", type=float, default=0.004)
    a.add_argument("--lr-norm", type=float, default=0.004)
    a.add_argument("--decay", type=float, default=0.1)
    a.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    a.add_argument("--no-compile", dest="compile", action="store_false")
    o = a.parse_args(sys.argv[2:])
    os.makedirs(o.run, exist_ok=True)
    if o.procs > 1:
        mp.spawn(train, (o,), o.procs)
    else:
        train(0, o)


if __name__ == "__main__":
    main()
