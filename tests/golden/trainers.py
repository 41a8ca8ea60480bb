# SPDX-License-Identifier: MIT
"""Golden vectors of training: losses and final weights of 100 steps, from dictionary_learning 0.1.0
(package `dictionary-learning`, its trainers) under PyTorch, and orthogonality losses and gradients
from dense PyTorch with autograd.

    python3 tests/golden/trainers.py FOLDER_OF_THE_UNPACKED_PACKAGE > tests/golden/trainers.txt

Weights and data come from splitmix64, so that test_trainers.c makes the same ones. Only the
trainer files are imported: the package's own __init__ pulls in language-model libraries.
"""
import importlib.util
import math
import sys
import types

import numpy as np
import torch

root = sys.argv[1] + "/dictionary_learning"


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


package = types.ModuleType("dictionary_learning")
package.__path__ = [root]
sys.modules["dictionary_learning"] = package
trainers = types.ModuleType("dictionary_learning.trainers")
trainers.__path__ = [root + "/trainers"]
sys.modules["dictionary_learning.trainers"] = trainers
load("dictionary_learning.config", root + "/config.py")
load("dictionary_learning.dictionary", root + "/dictionary.py")
load("dictionary_learning.trainers.trainer", root + "/trainers/trainer.py")
topk = load("dictionary_learning.trainers.top_k", root + "/trainers/top_k.py")
batch_topk = load("dictionary_learning.trainers.batch_top_k", root + "/trainers/batch_top_k.py")
matryoshka = load("dictionary_learning.trainers.matryoshka_batch_top_k",
                  root + "/trainers/matryoshka_batch_top_k.py")
p_anneal = load("dictionary_learning.trainers.p_anneal", root + "/trainers/p_anneal.py")
gated_anneal = load("dictionary_learning.trainers.gated_anneal",
                    root + "/trainers/gated_anneal.py")
gdm = load("dictionary_learning.trainers.gdm", root + "/trainers/gdm.py")
jumprelu = load("dictionary_learning.trainers.jumprelu", root + "/trainers/jumprelu.py")
standard = load("dictionary_learning.trainers.standard", root + "/trainers/standard.py")

D, M, N, K, STEPS, TOTAL = 16, 48, 64, 4, 100, 120


def philox_uniform(seed, stream, n, counter=0):
    """The library's uniform numbers (Philox4x32-10), for draws that both sides must share."""
    out, mask = [], 0xFFFFFFFF
    for index in range(counter, counter + n):
        block = index // 2
        c = [block & mask, block >> 32, stream & mask, stream >> 32]
        k = [seed & mask, seed >> 32]
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & mask, (p0 >> 32) ^ c[3] ^ k[1], p0 & mask]
            k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
        half = (index & 1) * 2
        out.append((c[half + 1] << 32 | c[half]) >> 11)
    return np.array(out, dtype=np.float64) * 2.0**-53


def draws(seed, n):
    """n numbers in [-1, 1), exact in f32."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) * np.uint64(1 << 32) + np.arange(1, n + 1, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return torch.tensor((z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1).float()


def unit(w):
    return (w.double() / w.double().norm(dim=1, keepdim=True)).float()


def batch(step):
    return 2 * draws(100 + step, N * D).reshape(N, D) + 0.5


W_dec = unit(draws(1, M * D).reshape(M, D))
W_enc = draws(2, M * D).reshape(M, D) * 0.5
b_enc = draws(3, M) * 0.1


def overlap_value(kind, B, ni, nj, nij):
    return {
        "overlap": nij / torch.minimum(ni, nj),
        "jaccard": nij / (ni + nj - nij),
        "cosine": nij / torch.sqrt(ni * nj),
        "lift": B * nij / (ni * nj),
        "batch": nij / B,
    }[kind]


def orth_loss(W, mask, kind, form, tau, sharpness=4.0, min_count=2):
    """W [m][d], mask [n][m] of 0 and 1. Dense, as the method states it."""
    mask = mask.double()
    n = mask.sum(0)
    nij = mask.T @ mask
    nhat = overlap_value(kind, mask.shape[0], n[:, None], n[None, :], nij)
    x = (nhat - tau) / tau
    c = x.clamp(0, 1) if form == "linear" else 1 / (1 + torch.exp(-sharpness * x))
    keep = (nij > 0) & (n[:, None] >= min_count) & (n[None, :] >= min_count)
    c = torch.where(keep, c, torch.zeros_like(c)).triu(1)
    return (c * (W @ W.T).abs()).sum(), int((c > 0).sum())


def end(name, array, w):
    """Norm, weighted sum, and 24 elements spread over the array."""
    v = w.detach().double().flatten()
    weights = draws(9, v.numel()).double()
    some = v[[i * v.numel() // 24 for i in range(24)]] if v.numel() > 24 else v
    print(f"end {name} {array} {v.norm().item():.9g} {(v * weights).sum().item():.9g} " +
          " ".join(f"{e:.7g}" for e in some.tolist()))


def first_batch(name):
    """Batch 62 holds a tie to the last bit at the edge of this one's selection."""
    return 100 if name == "matryoshka-auxk" else 0


def ask(t, asked):
    """Keeps what loss() returns within update(): calling it twice would count twice."""
    plain = type(t).loss

    def loss(*args, **kwargs):
        value = plain(t, *args, **kwargs)
        asked.append(value.item())
        return value

    t.loss = loss


def share_draws(step):
    """torch.multinomial without replacement, by the library's numbers: least -log(1 - u) / w."""

    def multinomial(weights, num_samples, replacement=False):
        u = philox_uniform(42, 6, len(weights), step << 32)
        keys = -np.log1p(-u) / weights.double().numpy()
        return torch.tensor(np.argsort(keys)[:int(num_samples)].copy())

    torch.multinomial = multinomial


def run(name, t, arrays, loss_of_update=True):
    """STEPS updates; loss_of_update: update() returns the loss, else it is overheard."""
    for s in range(STEPS):
        x = batch(s + first_batch(name))
        share_draws(s)
        asked = []
        if not loss_of_update:
            ask(t, asked)
        got = t.update(s, x)
        loss = got if loss_of_update else asked[0]
        if s < 10 or s % 5 == 4:
            print(f"loss {name} {s} {loss:.9g}")
    for array, w in arrays(t.ae).items():
        end(name, array, w)


def linear_arrays(ae):
    return {"W_dec": ae.decoder.weight.T, "W_enc": ae.encoder.weight, "b_enc": ae.encoder.bias,
            "b_dec": ae.bias if hasattr(ae, "bias") else ae.b_dec}


def with_threshold(ae):
    return {**linear_arrays(ae), "threshold": ae.threshold}


def matrix_arrays(ae):
    return {"W_dec": ae.W_dec, "W_enc": ae.W_enc.T, "b_enc": ae.b_enc, "b_dec": ae.b_dec,
            "threshold": ae.threshold}


def gated_arrays(ae):
    return {"W_dec": ae.decoder.weight.T, "W_enc": ae.encoder.weight, "b_gate": ae.gate_bias,
            "b_mag": ae.mag_bias, "r_mag": ae.r_mag, "b_dec": ae.decoder_bias}


def start(t, name, theta=None):
    """Equal weights. -auxk: the bias of the last 16 latents is low, so that some are dead."""
    bias = b_enc.clone()
    if "-auxk" in name:
        t.dead_feature_threshold = N
        bias[32:] -= 1.5
    if "-resample" in name:
        bias[32:] -= 6
    ae = t.ae
    with torch.no_grad():
        if hasattr(ae, "W_dec"):
            ae.W_dec.copy_(W_dec)
            ae.W_enc.copy_(W_enc.T)
            ae.b_enc.copy_(bias)
        else:
            ae.decoder.weight.copy_(W_dec.T)
            ae.encoder.weight.copy_(W_enc)
            if hasattr(ae, "gate_bias"):
                ae.gate_bias.copy_(bias)
                ae.mag_bias.copy_(draws(4, M) * 0.1)
                ae.r_mag.copy_(draws(5, M) * 0.2)
            else:
                ae.encoder.bias.copy_(bias)
        if theta is not None:
            ae.threshold.copy_(theta)
    return t


class OrthTopK(topk.TopKTrainer):
    """L + lambda2(p) L_orth with lambda2_max 0.5, gamma 2, tau 0.1 (1 - p)."""

    def loss(self, x, step=None, logging=False):
        loss = super().loss(x, step=step)
        p = step / TOTAL
        mask = (self.ae.encode(x).detach() > 0).double()
        orth, _ = orth_loss(self.ae.decoder.weight.T.double(), mask, "overlap", "linear",
                            max(0.1 * (1 - p), 0.001))
        return loss + 0.5 * (1 - p) ** 2 * orth.float()


def ortsae_loss(W):
    """OrtSAE's penalty with one chunk: mean over latents of the squared largest cosine."""
    u = W.double() / W.double().norm(dim=1, keepdim=True)
    cosine = (u @ u.T).masked_fill(torch.eye(len(u), dtype=torch.bool), -2)
    return (cosine.max(dim=1).values ** 2).mean().float()


def with_ortsae(cls):
    class Trainer(cls):
        """Every fifth step with five times the weight 0.5."""

        def loss(self, x, step=None, logging=False):
            term = ortsae_loss(self.ae.decoder.weight.T) if step % 5 == 0 else 0
            return super().loss(x, step=step) + 5 * 0.5 * term

    return Trainer


def with_freeze(cls, part, least=0.97):
    """The controls of arXiv 2602.14111: a matrix that stays, or decoder rows held to a cosine of at
    least `least` to their start. A gradient of 0 neither counts in clipping nor moves Adam."""

    class Trainer(cls):
        def update(self, step, x):
            weight = self.ae.encoder.weight if part == "encoder" else self.ae.decoder.weight
            if step == 0:
                self.first = weight.detach().clone()
                if part != "soft":
                    weight.register_hook(torch.zeros_like)
            loss = super().update(step, x)
            with torch.no_grad():
                weight.copy_(self.held(weight) if part == "soft" else self.first)
            return loss

        def held(self, weight):
            w, w0 = weight.T.double(), self.first.T.double()
            c = (w * w0).sum(1, keepdim=True)
            across = w - c * w0
            edge = least * w0 + (1 - least**2) ** 0.5 * across / across.norm(dim=1, keepdim=True)
            return torch.where(c < least, edge, w).T.float()

    return Trainer


class Standard2024(standard.StandardTrainer):
    def loss(self, x, step, logging=False, **kwargs):
        x_hat, f = self.ae(x, output_features=True)
        return (x - x_hat).norm(dim=-1).mean() + self.l1_penalty * f.norm(p=1, dim=-1).mean()


class MeanMatryoshka(matryoshka.MatryoshkaBatchTopKTrainer):
    """Prefix losses averaged once: weights that add up to the number of groups."""

    def __init__(self, **args):
        n = len(args["group_fractions"])
        super().__init__(group_weights=[1.0] * n, **args)


common = dict(steps=TOTAL, activation_dim=D, dict_size=M, layer=0, lm_name="none", device="cpu",
              warmup_steps=5, lr=0.01)
torch.set_num_threads(1)
for name, cls in (("topk", topk.TopKTrainer), ("topk-auxk", topk.TopKTrainer),
                  ("topk-decay", topk.TopKTrainer), ("topk-orth", OrthTopK),
                  ("topk-ortsae", with_ortsae(topk.TopKTrainer))):
    run(name, start(cls(k=K, decay_start=50 if name == "topk-decay" else None, **common), name),
        linear_arrays)
for part in ("decoder", "encoder", "soft"):
    name = "topk-freeze-" + part
    run(name, start(with_freeze(topk.TopKTrainer, part)(k=K, **common), name), linear_arrays)
cut = dict(k=K, threshold_start_step=5, threshold_beta=0.9)
for name in ("batchtopk", "batchtopk-auxk"):
    run(name, start(batch_topk.BatchTopKTrainer(**cut, **common), name), with_threshold)
groups = dict(group_fractions=[0.125, 0.25, 0.625])
for name, cls in (("matryoshka", MeanMatryoshka), ("matryoshka-auxk", MeanMatryoshka),
                  ("matryoshka-published", matryoshka.MatryoshkaBatchTopKTrainer)):
    run(name, start(cls(**cut, **groups, **common), name), matrix_arrays)
l1 = dict(l1_penalty=0.05, sparsity_warmup_steps=8)
run("standard", start(standard.StandardTrainer(**l1, **common), "standard"), linear_arrays, False)
run("standard-ortsae", start(with_ortsae(standard.StandardTrainer)(**l1, **common), "standard"),
    linear_arrays, False)
run("standard-2024", start(Standard2024(l1_penalty=0.05, sparsity_warmup_steps=None, **common),
                           "standard-2024"), linear_arrays, False)
for part in ("decoder", "encoder", "soft"):
    name = "standard-freeze-" + part
    run(name, start(with_freeze(standard.StandardTrainer, part)(**l1, **common), name),
        linear_arrays, False)
standard.print = lambda *words: print(*words, file=sys.stderr)
resample = dict(l1_penalty=0.4, sparsity_warmup_steps=8, resample_steps=20)
run("standard-resample", start(standard.StandardTrainer(**resample, **common),
                               "standard-resample"), linear_arrays, False)
anneal = dict(sparsity_warmup_steps=8, initial_sparsity_penalty=0.05, anneal_start=12,
              anneal_end=90, p_start=1, p_end=0.5, n_sparsity_updates=6)
run("standard-lpp", start(p_anneal.PAnnealTrainer(sparsity_function="Lp^p", **anneal, **common),
                          "standard"), linear_arrays, False)
run("standard-lp", start(p_anneal.PAnnealTrainer(sparsity_function="Lp", **anneal, **common),
                         "standard"), linear_arrays, False)
run("gated-lpp", start(gated_anneal.GatedAnnealTrainer(sparsity_function="Lp^p", **anneal,
                                                       **common), "gated"), gated_arrays, False)
run("gated", start(gdm.GatedSAETrainer(**l1, **common), "gated"), gated_arrays, False)
# "-low": some thresholds below 0, some below half the bandwidth
for name, theta in (("jumprelu", 0.2 + draws(4, M) * 0.1), ("jumprelu-low", draws(4, M) * 0.2)):
    t = jumprelu.JumpReluTrainer(bandwidth=0.1, target_l0=6.0, sparsity_warmup_steps=8, **common)
    run(name, start(t, name, theta), matrix_arrays)


class TwoSided(jumprelu.JumpReluTrainer):
    """The step of L0 on z, as in the paper."""

    def loss(self, x, step, logging=False, **_):
        z = x @ self.ae.W_enc + self.ae.b_enc
        f = jumprelu.JumpReLUFunction.apply(z, self.ae.threshold, self.bandwidth)
        l0 = jumprelu.StepFunction.apply(z, self.ae.threshold, self.bandwidth).sum(dim=-1).mean()
        miss = (l0 / self.target_l0 - 1).pow(2) * self.sparsity_warmup_fn(step)
        return (x - self.ae.decode(f)).pow(2).sum(dim=-1).mean() + self.sparsity_coefficient * miss


for name, theta in (("jumprelu-z", 0.2 + draws(4, M) * 0.1), ("jumprelu-z-low", draws(4, M) * 0.2)):
    t = TwoSided(bandwidth=0.1, target_l0=6.0, sparsity_warmup_steps=8, **common)
    run(name, start(t, name, theta), matrix_arrays)

# The orthogonality term by itself: m 24, d 8, 40 tokens, active where a draw is below a rate
# that differs by latent.
m, d, n = 24, 8, 40
for k, kind in enumerate(("overlap", "jaccard", "cosine", "lift", "batch")):
    for form in ("linear", "sigmoid"):
        tau = {"overlap": 0.3, "jaccard": 0.15, "cosine": 0.2, "lift": 1.1, "batch": 0.03}[kind]
        u = draws(50 + k, n * m).reshape(n, m)
        rate = torch.linspace(-0.95, -0.2, m)
        mask = (u < rate).double()
        W = unit(draws(60 + k, m * d).reshape(m, d)).double().requires_grad_(True)
        loss, pairs = orth_loss(W, mask, kind, form, tau)
        loss.backward()
        print(f"orth {kind} {form} {tau} {loss.item():.9g} {pairs}")
        for i in range(m):
            print(f"grad {kind} {form} {i} " + " ".join(f"{v:.8g}" for v in W.grad[i].tolist()))
