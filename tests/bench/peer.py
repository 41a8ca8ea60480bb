# SPDX-License-Identifier: MIT
"""The PyTorch side of bench_train: says "ready", then answers each line "go" with
"seconds processor-seconds value".

    peer.py topk|bag FOLDER THREADS n d m k steps done   one step of training
    peer.py orth     FOLDER THREADS n d m k tau          loss and gradient of the orthogonality term
    peer.py spectrum FOLDER THREADS d m bins             histogram of pairwise cosines

topk is dictionary_learning's TopKTrainer as it stands. bag is the best simple PyTorch: the decoder
as [m][d] and embedding_bag for the kept entries, the rest the same. Weights and batches come from
files that bench_train wrote (f32): W_enc, W_dec, b_enc, b_dec, x (several batches), idx.
"""
import os
import sys
import time

import numpy as np
import torch

from trainers import load_top_k

kind, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
numbers = [float(a) for a in sys.argv[4:]]
torch.set_num_threads(threads)


def read(name, *shape, dtype=np.float32):
    return torch.from_numpy(np.fromfile(os.path.join(folder, name), dtype=dtype).reshape(shape))


class Dense:
    def __init__(self, n, d, m, k, steps, done):
        self.t = load_top_k()(
            steps=steps, activation_dim=d, dict_size=m, k=k, layer=0, lm_name="none", device="cpu",
            lr=1e-3, warmup_steps=0)
        self.step, self.last, self.batch = done, 0.0, 0
        with torch.no_grad():
            self.t.ae.encoder.weight.copy_(read("W_enc", m, d))
            self.t.ae.decoder.weight.copy_(read("W_dec", m, d).T)
            self.t.ae.encoder.bias.copy_(read("b_enc", m))
            self.t.ae.b_dec.copy_(read("b_dec", d))
        self.x = read("x", -1, n, d)

    def run(self):
        self.last = self.t.update(self.step, self.x[self.batch % len(self.x)])
        self.step += 1
        self.batch += 1
        return self.last


class Bag:
    def __init__(self, n, d, m, k, steps, done):
        self.k, self.batch = k, 0
        self.W_enc, self.W_dec = read("W_enc", m, d), read("W_dec", m, d)
        self.b_enc, self.b_dec = read("b_enc", m), read("b_dec", d)
        self.params = [self.W_enc, self.W_dec, self.b_enc, self.b_dec]
        for p in self.params:
            p.requires_grad_(True)
        self.adam = torch.optim.Adam(self.params, lr=1e-3, betas=(0.9, 0.999))
        self.x = read("x", -1, n, d)

    def run(self):
        x = self.x[self.batch % len(self.x)]
        self.batch += 1
        pre = torch.relu(torch.nn.functional.linear(x - self.b_dec, self.W_enc, self.b_enc))
        val, idx = pre.topk(self.k, sorted=False, dim=-1)
        xhat = torch.nn.functional.embedding_bag(idx, self.W_dec, per_sample_weights=val,
                                                 mode="sum") + self.b_dec
        loss = (x - xhat).pow(2).sum(-1).mean()
        loss.backward()
        with torch.no_grad():
            g, w = self.W_dec.grad, self.W_dec
            g -= (g * w).sum(1, keepdim=True) * w
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            self.adam.step()
            w /= w.norm(dim=1, keepdim=True)
            self.adam.zero_grad()
        return loss.item()


class Orth:
    def __init__(self, n, d, m, k, tau):
        self.tau = tau
        self.W = read("W_dec", m, d).requires_grad_(True)
        idx = read("idx", n, k, dtype=np.uint32).long()
        self.mask = torch.zeros(n, m + 1)
        self.mask.scatter_(1, idx.clamp(max=m), 1.0)
        self.mask = self.mask[:, :m].contiguous()

    def run(self):
        self.W.grad = None
        with torch.no_grad():
            n = self.mask.sum(0)
            c = self.mask.T @ self.mask
            least = torch.minimum(n[:, None], n[None, :])
            c.div_(least).sub_(self.tau).div_(self.tau).clamp_(0, 1)
            c.masked_fill_(least < 2, 0)
            del least
            c.nan_to_num_(0.0).triu_(1)
        loss = (c * (self.W @ self.W.T).abs()).sum()
        loss.backward()
        return loss.item()


class Spectrum:
    def __init__(self, d, m, bins):
        self.W, self.bins = read("W_dec", m, d), bins

    def run(self):
        gram = self.W @ self.W.T
        upper = gram[torch.triu(torch.ones_like(gram, dtype=torch.bool), 1)]
        hist = torch.histc(upper, bins=self.bins, min=-1, max=1)
        return float((hist.double() * torch.arange(self.bins)).sum())


KINDS = {"topk": (Dense, 6), "bag": (Bag, 6), "orth": (Orth, 4), "spectrum": (Spectrum, 3)}
cls, n_int = KINDS[kind]
job = cls(*[int(v) for v in numbers[:n_int]], *numbers[n_int:])
print("ready PyTorch", torch.__version__, flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    value = job.run()
    print(time.perf_counter() - wall, time.process_time() - cpu, value, flush=True)
