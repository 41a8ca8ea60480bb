#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""saekit beside SAEBench on the same autoencoders: makes a small store of the shipped model, trains
three autoencoders on it, runs sae-splice, sae-probe and sae-absorb, runs SAEBench's own functions on
the same texts, tokens and activations, and writes every metric of both as a table, as docs/PARITY.md
has them.

    tests/parity/remake.sh saebench              # with the packages it needs
    tests/parity/parity.py                       # once they are there; torch on the CPU will do
    tests/parity/speed.py                        # whole programs beside whole programs

Needs a build, zstd, and the Python packages; no part of ./test.sh. Exits 1 where a difference exceeds
its bound."""
import argparse
import json
import os
import subprocess
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
here = os.path.dirname(os.path.abspath(__file__))
ARCHS = {
    "topk": ["--arch", "topk", "--k", "32"],
    "standard": ["--arch", "standard", "--l1", "3.5"],
    "jumprelu": ["--arch", "jumprelu", "--normalize", "unit", "--target-l0", "32"],
}
LAYER = 3
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def say(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def tool(args, name, *options):
    path = os.path.join(args.build, name[4:], name)
    done = subprocess.run([path, "-q", "--threads", str(args.threads), *options], cwd=args.work,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def answer(text):
    got = json.loads(text)
    return got[0] if isinstance(got, list) else got


# --- what both sides read --------------------------------------------------------------------


def harvest(args):
    """The store, the labelled sets and the word set, as ./demo.sh makes them, of fewer tokens."""
    texts = os.path.join(root, "data", "corpora", "texts")
    labels = os.path.join(texts, "labels")
    say("harvesting")
    tool(args, "sae-harvest", "--model", os.path.abspath(args.model), "--layer", str(LAYER), "--text",
         os.path.join(texts, "prose.jsonl.zst"), "--tokens", "600k", "-o", "acts")
    tool(args, "sae-harvest", "--like", "acts", "--context", "64", "--labels",
         ",".join(os.path.join(labels, n) for n in sorted(os.listdir(labels))))
    tool(args, "sae-harvest", "--like", "acts", "--words")
    lines = subprocess.run(["zstd", "-dc", os.path.join(texts, "prose.jsonl.zst")], check=True,
                           stdout=subprocess.PIPE).stdout.splitlines(keepends=True)
    with open(os.path.join(args.work, "core.jsonl"), "wb") as f:
        f.writelines(lines[-200:])


def prepare(args):
    os.makedirs(args.work, exist_ok=True)
    if not os.path.exists(os.path.join(args.work, "core.jsonl")):
        harvest(args)
    for arch, options in ARCHS.items():
        run = f"run_{arch}"
        if os.path.exists(os.path.join(args.work, run, "ckpt_100.h5")):
            continue
        say(f"training {run}")
        tool(args, "sae-train", "--acts", "acts", *options, "--m", "1024", "--batch", "512",
             "--lr", "1e-3", "--tokens", "500k", "--checkpoints", "0,100", "-o", run)


# --- tables ------------------------------------------------------------------------------------


class Table:
    """Lines of Markdown, and what exceeded its bound."""

    def __init__(self):
        self.lines, self.failed = [], []

    def head(self, *columns):
        self.lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]

    def row(self, *cells):
        self.lines.append("| " + " | ".join(str(c) for c in cells) + " |")

    def judge(self, what, off, bound):
        if not off <= bound:
            self.failed.append(f"{what}: {off:g} off, bound {bound:g}")


class Pairs:
    """A metric a row, two columns an autoencoder: what saekit found and what SAEBench found."""

    def __init__(self):
        self.rows = {}  # metric: {arch: (saekit, SAEBench)}, bound, relative, digits

    def add(self, what, arch, saekit, upstream, bound, relative=False, digits=5):
        row = self.rows.setdefault(what, ({}, bound, relative, digits))
        row[0][arch] = (saekit, upstream)

    def write(self, table):
        archs = list(next(iter(self.rows.values()))[0])
        table.head("metric", *[c for a in archs for c in (f"{a}: saekit", "SAEBench")],
                   "off by at most", "bound")
        for what, (found, bound, relative, digits) in self.rows.items():
            off = [abs(x - y) / (abs(y) if relative and y else 1) for x, y in found.values()]
            worst = max(off) if all(o == o for o in off) else float("nan")
            table.judge(what, worst, bound)
            table.row(f"`{what}`", *[f"{v:.{digits}f}" for pair in found.values() for v in pair],
                      f"{worst:.0e}", f"{bound:g}{' rel.' if relative else ''}")


class Worst:
    """The largest difference over latents or letters, a column an autoencoder."""

    def __init__(self, head):
        self.head, self.rows = head, {}

    def add(self, what, arch, off, bound):
        self.rows.setdefault(what, ({}, {}))[0][arch] = off
        self.rows[what][1][arch] = bound

    def write(self, table, bound_text):
        table.head(self.head, *next(iter(self.rows.values()))[0], "bound")
        for what, (off, bound) in self.rows.items():
            for arch in off:
                table.judge(f"{what}, {arch}", off[arch], bound[arch])
            table.row(f"`{what}`", *[f"{v:.1e}" for v in off.values()], bound_text)


# --- core --------------------------------------------------------------------------------------

CORE = [  # key, group, relative bound?
    ("ce_loss_score", "model_performance_preservation", False),
    ("ce_loss_without_sae", "model_performance_preservation", False),
    ("ce_loss_with_sae", "model_performance_preservation", False),
    ("ce_loss_with_ablation", "model_performance_preservation", False),
    ("kl_div_score", "model_behavior_preservation", False),
    ("kl_div_with_sae", "model_behavior_preservation", False),
    ("kl_div_with_ablation", "model_behavior_preservation", False),
    ("explained_variance", "reconstruction_quality", False),
    ("explained_variance_legacy", "reconstruction_quality", False),
    ("mse", "reconstruction_quality", False),
    ("cossim", "reconstruction_quality", False),
    ("l2_norm_in", "shrinkage", True),
    ("l2_norm_out", "shrinkage", True),
    ("l2_ratio", "shrinkage", False),
    ("relative_reconstruction_bias", "shrinkage", False),
    ("l0", "sparsity", True),
    ("l1", "sparsity", True),
    ("frac_alive", "misc_metrics", False),
    ("freq_over_1_percent", "misc_metrics", False),
    ("freq_over_10_percent", "misc_metrics", False),
    ("normalized_freq_over_1_percent", "misc_metrics", False),
    ("normalized_freq_over_10_percent", "misc_metrics", False),
    ("average_max_encoder_cosine_sim", "misc_metrics", False),
    ("average_max_decoder_cosine_sim", "misc_metrics", False),
]
PER_LATENT = ["feature_density", "consistent_activation_heuristic", "encoder_bias", "encoder_norm",
              "encoder_decoder_cosine_sim", "max_decoder_cosine_sim", "max_encoder_cosine_sim"]


def pooled_variance(up, model, sae, texts, n_batches):
    """The formula upstream meant, in numpy on upstream's own activations."""
    import numpy as np
    import torch
    from datasets import Dataset
    from sae_lens.training.activations_store import ActivationsStore

    store = ActivationsStore.from_sae(model, sae, context_size=128, streaming=False,
                                      dataset=Dataset.from_dict({"text": texts}))
    x = []
    with torch.no_grad():
        for _ in range(n_batches):
            tokens = store.get_batch_tokens(16)
            hook = sae.cfg.hook_name
            _, cache = model.run_with_cache(tokens, prepend_bos=False, names_filter=[hook],
                                            stop_at_layer=LAYER + 1)
            x.append(cache[hook][(tokens > 2)])  # pad 0, eos 1, bos 2
        x = torch.cat(x)
        r = (x - sae.decode(sae.encode(x))).double().numpy()
    x = x.double().numpy()
    return 1 - (r**2).sum() / ((x - x.mean(0)) ** 2).sum()


def core(args, up, model, table):
    import numpy as np

    texts = [json.loads(line)["text"] for line in open(os.path.join(args.work, "core.jsonl"))]
    pairs, worst = Pairs(), Worst("per latent, largest difference")
    for arch in ARCHS:
        say(f"core, {arch}: saekit")
        mine = answer(tool(args, "sae-splice", "--json", "--model", os.path.abspath(args.model), "--text",
                           "core.jsonl", "--contexts", str(16 * args.batches), f"run_{arch}"))
        say(f"core, {arch}: upstream")
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        theirs, features = up.core(model, sae, texts, args.batches)
        metrics = mine["eval_result_metrics"]
        for key, group, relative in CORE:
            pairs.add(key, arch, metrics[group][key], theirs[key], 1e-3, relative)
        pairs.add("explained_variance_pooled", arch,
                  metrics["reconstruction_quality"]["explained_variance_pooled"],
                  pooled_variance(up, model, sae, texts, args.batches), 1e-3)
        for key in PER_LATENT:
            a = np.array([row[key] for row in mine["eval_result_details"]])
            b = np.nan_to_num(np.array(features[key]), nan=-1)
            worst.add(key, arch, float(np.abs(a - b).max()), 1e-3)
    pairs.write(table)
    worst.write(table, "0.001")


# --- sparse probing ------------------------------------------------------------------------------


KS = (1, 2, 5)


def probe(args, seeds, paths, arch):
    return answer(tool(args, "sae-probe", "--json", "--no-full", "--k", ",".join(map(str, KS)),
                       "--seeds", ",".join(map(str, seeds)), "--labels", ",".join(paths),
                       f"run_{arch}"))


def same_draws(side, k, sets, mine, theirs):
    """Accuracies of every task (seed, set, class): saekit's, SAEBench's, and, where the two differ,
    SAEBench's again with its regression solved to the end."""
    import numpy as np

    got = []
    for seed, result in mine.items():
        for name, up in zip(sets, theirs):
            rows = result["eval_result_unstructured"][f"{name}_results"]
            ours = rows[f"{side}_top_{k}_test_accuracy"]
            found = up.top_k_given(side, k, seed)
            same = all(abs(ours[c] - found[c]) < 1e-9 for c in found)
            exact = found if same else up.top_k_given(side, k, seed, exact=True)
            got += [(ours[c], found[c], exact[c]) for c in found]
    return np.array(got).T


def own_draws(args, up, mean, theirs, table):
    """Whether both draw alike: means over each side's own negatives. The draw knows nothing of the
    features, so neurons answer for all."""
    import numpy as np

    one = args.own_seeds == 1  # no standard error of one draw
    table.head("features", "k", "saekit", "s.e.", "SAEBench", "s.e.", "off by", "its s.e.")
    for k in KS:
        key = f"llm_top_{k}_test_accuracy"
        v = [np.mean([up.mean_of(s.top_k("llm", k, seed)) for s in theirs])
             for seed in range(1, args.own_seeds + 1)]
        e = np.nan if one else mean[key + "_se"]
        f = np.nan if one else np.std(v, ddof=1) / np.sqrt(len(v))
        e, f, both = ("-" if one else f"{x:.4f}" for x in (e, f, np.hypot(e, f)))
        table.row("neurons", k, f"{mean[key]:.4f}", e, f"{np.mean(v):.4f}", f,
                  f"{mean[key] - np.mean(v):+.4f}", both)
        say(table.lines[-1])


def probing(args, up, table):
    """Twice: task by task on the same draws of negatives, and means over each side's own draws."""
    sets = sorted(n[7:-3] for n in os.listdir(os.path.join(args.work, "acts"))
                  if n.startswith("labels_") and n.endswith(".h5")
                  and (not args.sets or n[7:-3] in args.sets.split(",")))
    paths = [os.path.join("acts", f"labels_{n}.h5") for n in sets]
    say(f"probing: upstream reads {', '.join(sets)}")
    theirs = [up.Probing(up.read_labels(os.path.join(args.work, p))) for p in paths]
    table.head("features", "k", "tasks", "saekit", "SAEBench", "off by", "bound", "tasks that differ",
               "by at most", "after an exact solve")
    for i, arch in enumerate(ARCHS):
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        for s in theirs:
            s.encode(sae)
        say(f"probing, {arch}: saekit, then upstream")
        mine = {seed: probe(args, [seed], paths, arch) for seed in range(1, args.seeds + 1)}
        for side, k in [(side, k) for side in ("llm", "sae")[i > 0 :] for k in KS]:
            name = arch if side == "sae" else "neurons"
            a, b, exact = same_draws(side, k, sets, mine, theirs)
            off = a.mean() - b.mean()
            table.judge(f"probing, {name}, k = {k}", abs(off), 0.005)
            table.row(name, k, len(a), f"{a.mean():.5f}", f"{b.mean():.5f}", f"{off:+.1e}", 0.005,
                      (abs(a - b) > 1e-9).sum(),
                      f"{abs(a - b).max():.4f}", (abs(a - exact) > 1e-9).sum())
            say(table.lines[-1])
    say(f"probing, neurons: {args.own_seeds} draws of each side's own")
    mean = probe(args, range(1, args.own_seeds + 1), paths, next(iter(ARCHS)))
    table.lines += ["", f"On each side's own draws, {args.own_seeds} of them:"]
    own_draws(args, up, mean["eval_result_metrics"]["llm"], theirs, table)


# --- absorption --------------------------------------------------------------------------------


def kept_truth(args):
    """The ground-truth probe that sae-absorb kept, for seed 42."""
    import h5py

    names = [n for n in os.listdir(os.path.join(args.work, "acts")) if n.startswith("words.truth_")]
    newest = max(names, key=lambda n: os.path.getmtime(os.path.join(args.work, "acts", n)))
    with h5py.File(os.path.join(args.work, "acts", newest), "r") as f:
        return f["w"][()], f["b"][()]


def per_letter(worst, what, arch, found):
    """The worst of (difference, words): a word that falls on the other side of a border moves its
    letter's share by 1 / words, so that much is allowed where it is more than 0.01."""
    off, bound = max(((d, max(0.01, 1.001 / max(n, 1))) for d, n in found), key=lambda x: x[0] / x[1])
    worst.add(what, arch, off, bound)


def absorption(args, up, table):
    import numpy as np

    words = up.Words(os.path.join(args.work, "acts", "words.h5"))
    pairs, worst = Pairs(), Worst("largest difference over letters")
    for arch in ARCHS:
        say(f"absorption, {arch}: saekit")
        mine = answer(tool(args, "sae-absorb", "--json", "--seed", "42", f"run_{arch}"))
        truth = kept_truth(args)
        if not pairs.rows:
            say("absorption: upstream trains its ground-truth probe")
            stage_truth(up, words, truth, mine, table)
        say(f"absorption, {arch}: upstream")
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        letters = {row["first_letter"]: row for row in mine["eval_result_details"]}
        splits = {c: row["split_latents"] for c, row in letters.items()}
        tried = {c: row["tried_latents"] for c, row in letters.items()}
        f1 = up.k_sparse_f1(words, sae, tried)
        words_of = {c: row["num_probe_true_positives"] for c, row in letters.items()}
        per_letter(worst, "F1 of the k-sparse probes", arch,
                   [(abs(a - b), words_of[c]) for c, row in letters.items()
                    for a, b in zip(row["tried_f1"], f1[c])])
        theirs = up.word_tests(words, sae, truth, splits, LAYER)
        for key, mean in (("full_absorption_rate", "mean_full_absorption_score"),
                          ("mean_absorption_fraction", "mean_absorption_fraction_score")):
            counted = [c for c, row in letters.items() if row["in_mean"]]
            ours = mine["eval_result_metrics"]["version_d"][mean]
            pairs.add(mean, arch, ours if ours is not None else float("nan"),
                      np.mean([theirs[c][key] for c in counted]), 0.01)
            per_letter(worst, key, arch,
                       [(abs(letters[c][key] - theirs[c][key]), words_of[c]) for c in letters])
        pairs.add("num_probe_true_positives", arch, sum(words_of.values()),
                  sum(t["num_probe_true_positives"] for t in theirs.values()), 1, digits=0)
    pairs.write(table)
    worst.write(table, "0.01, or one word")


def stage_truth(up, words, truth, mine, table):
    """Each side trains its own."""
    import numpy as np

    w, theirs = up.train_truth(words, seed=1)
    cos = (w * truth[0]).sum(1) / np.linalg.norm(w, axis=1) / np.linalg.norm(truth[0], axis=1)
    f1 = np.mean([r["probe_f1"] for r in mine["eval_result_details"] if r["probe_f1"] is not None])
    table.head("ground-truth probe", "saekit", "SAEBench")
    table.row("F1, mean over letters", f"{f1:.4f}", f"{np.mean(list(theirs.values())):.4f}")
    table.row("cosine of the directions, median over letters", f"{np.median(cos):.4f}", "")
    table.judge("F1 of the ground-truth probe", abs(f1 - np.mean(list(theirs.values()))), 0.02)
    table.judge("cosine of the ground-truth probes", 1 - np.median(cos), 0.05)


# --- the page ----------------------------------------------------------------------------------


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default=os.path.join(root, "data", "tiny-g2"))
    p.add_argument("--build", default=os.path.join(root, "build"))
    p.add_argument("--work", default=os.path.join(root, "build", "parity"),
                   help="for the store and the runs made here, which stay")
    p.add_argument("--parts", default="core,probing,absorption")
    p.add_argument("--batches", type=int, default=4, help="core: batches of 16 contexts")
    p.add_argument("--seeds", type=int, default=5, help="probing: draws both sides share")
    p.add_argument("--own-seeds", type=int, default=20, help="probing: draws of each side's own")
    p.add_argument("--sets", help="probing: names of labelled sets; default: all")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", help="folder for one Markdown table a part; default: stdout")
    args = p.parse_args()
    if args.own_seeds < 1 or args.seeds < 1:
        p.error("--seeds and --own-seeds must be at least 1")
    args.build, args.work = os.path.abspath(args.build), os.path.abspath(args.work)
    prepare(args)
    sys.path.insert(0, here)
    import torch
    import upstream as up

    torch.set_num_threads(args.threads)
    failed = []
    for part in args.parts.split(","):
        table = Table()
        if part == "core":
            core(args, up, up.load_model(args.model), table)
        elif part == "probing":
            probing(args, up, table)
        elif part == "absorption":
            absorption(args, up, table)
        text = "\n".join(table.lines).strip() + "\n"
        if args.out:
            os.makedirs(args.out, exist_ok=True)
            with open(os.path.join(args.out, f"{part}.md"), "w") as f:
                f.write(text)
        else:
            print(text, flush=True)
        failed += table.failed
    for line in failed:
        print("differs:", line, file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
