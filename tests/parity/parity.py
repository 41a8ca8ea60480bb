#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""saekit beside SAEBench on the same autoencoders: trains three small ones on a demo's activation
store, runs sae-splice, sae-probe and sae-absorb, runs SAEBench's own functions on the same texts,
tokens and activations, and writes every metric of both as a table.

    ./demo.sh                                    # or any folder with acts/ and texts/
    pip install sae-bench==0.6.0 h5py            # torch on the CPU will do
    tests/parity/parity.py --demo demo
    tests/parity/speed.py --demo demo            # whole programs beside whole programs

Needs the Python packages; no part of ./test.sh. Exits 1 where a difference exceeds its bound."""
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


def prepare(args):
    os.makedirs(args.work, exist_ok=True)
    acts = os.path.join(args.work, "acts")
    if not os.path.exists(acts):
        os.symlink(os.path.realpath(os.path.join(args.demo, "acts")), acts)
    core = os.path.join(args.work, "core.jsonl")
    if not os.path.exists(core):
        with open(os.path.join(args.demo, "texts", "prose", "prose.jsonl")) as f:
            lines = f.readlines()[-200:]
        with open(core, "w") as f:
            f.writelines(lines)
    for arch, options in ARCHS.items():
        run = f"run_{arch}"
        if os.path.exists(os.path.join(args.work, run, "ckpt_100.h5")):
            continue
        say(f"training {run}")
        tool(args, "sae-train", "--acts", "acts", *options, "--m", "1024", "--batch", "512",
             "--lr", "1e-3", "--tokens", "500k", "--checkpoints", "0,100", "-o", run)


# --- tables ------------------------------------------------------------------------------------


class Table:
    def __init__(self):
        self.lines, self.failed, self.worst = [], [], 0.0

    def head(self, *columns):
        self.lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]

    def row(self, *cells):
        self.lines.append("| " + " | ".join(str(c) for c in cells) + " |")

    def pair(self, what, saekit, upstream, bound, relative=False, digits=5):
        off = abs(saekit - upstream)
        if relative and upstream:
            off /= abs(upstream)
        good = off <= bound
        if not good:
            self.failed.append(f"{what}: {saekit} against {upstream}, bound {bound}")
        self.row(what, f"{saekit:.{digits}f}", f"{upstream:.{digits}f}", f"{off:.1e}",
                 f"{bound:g}{' rel.' if relative else ''}", "yes" if good else "**no**")


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
    for arch in ARCHS:
        say(f"core, {arch}: saekit")
        mine = answer(tool(args, "sae-splice", "--json", "--model", os.path.abspath(args.model), "--text",
                           "core.jsonl", "--contexts", str(16 * args.batches), f"run_{arch}"))
        say(f"core, {arch}: upstream")
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        theirs, features = up.core(model, sae, texts, args.batches)
        metrics = mine["eval_result_metrics"]
        table.lines += ["", f"### {arch}", ""]
        table.head("metric", "saekit", "SAEBench", "off by", "bound", "within")
        for key, group, relative in CORE:
            table.pair(key, metrics[group][key], theirs[key], 1e-3, relative)
        table.pair("explained_variance_pooled (numpy)",
                   metrics["reconstruction_quality"]["explained_variance_pooled"],
                   pooled_variance(up, model, sae, texts, args.batches), 1e-3)
        for key in PER_LATENT:
            a = np.array([row[key] for row in mine["eval_result_details"]])
            b = np.nan_to_num(np.array(features[key]), nan=-1)
            table.pair(f"{key}, largest over latents", float(np.abs(a - b).max()), 0.0, 1e-3)


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
        table.row("neurons", k, f"{mean[key]:.4f}", f"{e:.4f}", f"{np.mean(v):.4f}", f"{f:.4f}",
                  f"{mean[key] - np.mean(v):+.4f}", f"{np.hypot(e, f):.4f}")
        say(table.lines[-1])


def probing(args, up, table):
    """Twice: task by task on the same draws of negatives, and means over each side's own draws."""
    sets = sorted(n[7:-3] for n in os.listdir(os.path.join(args.work, "acts"))
                  if n.startswith("labels_") and n.endswith(".h5")
                  and (not args.sets or n[7:-3] in args.sets.split(",")))
    paths = [os.path.join("acts", f"labels_{n}.h5") for n in sets]
    say(f"probing: upstream reads {', '.join(sets)}")
    theirs = [up.Probing(up.read_labels(os.path.join(args.work, p))) for p in paths]
    table.lines += ["### The same texts", ""]
    table.head("features", "k", "tasks", "saekit", "SAEBench", "off by", "bound", "within",
               "tasks that differ", "by at most", "after an exact solve")
    for i, arch in enumerate(ARCHS):
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        for s in theirs:
            s.encode(sae)
        say(f"probing, {arch}: saekit, then upstream")
        mine = {seed: probe(args, [seed], paths, arch) for seed in range(1, args.seeds + 1)}
        for side, k in [(side, k) for side in ("llm", "sae")[i > 0 :] for k in KS]:
            name = arch if side == "sae" else "neurons"
            a, b, exact = same_draws(side, k, sets, mine, theirs)
            off, good = a.mean() - b.mean(), abs(a.mean() - b.mean()) <= 0.005
            if not good:
                table.failed.append(f"{name}, k = {k}: {a.mean()} against {b.mean()}, bound 0.005")
            table.row(name, k, len(a), f"{a.mean():.5f}", f"{b.mean():.5f}", f"{off:+.1e}", 0.005,
                      "yes" if good else "**no**", (abs(a - b) > 1e-9).sum(),
                      f"{abs(a - b).max():.4f}", (abs(a - exact) > 1e-9).sum())
            say(table.lines[-1])
    say(f"probing, neurons: {args.own_seeds} draws of each side's own")
    mean = probe(args, range(1, args.own_seeds + 1), paths, next(iter(ARCHS)))
    table.lines += ["", f"### Each side's own draws, {args.own_seeds} of them", ""]
    own_draws(args, up, mean["eval_result_metrics"]["llm"], theirs, table)


# --- absorption --------------------------------------------------------------------------------


def kept_truth(args):
    """The ground-truth probe that sae-absorb kept, for seed 42."""
    import h5py

    names = [n for n in os.listdir(os.path.join(args.work, "acts")) if n.startswith("words.truth_")]
    newest = max(names, key=lambda n: os.path.getmtime(os.path.join(args.work, "acts", n)))
    with h5py.File(os.path.join(args.work, "acts", newest), "r") as f:
        return f["w"][()], f["b"][()]


def per_letter(table, what, found):
    """The worst of (difference, words): a word that falls on the other side of a border moves its
    letter's share by 1 / words, so that much is allowed where it is more than 0.01."""
    off, bound = max(((d, max(0.01, 1.001 / max(n, 1))) for d, n in found), key=lambda x: x[0] / x[1])
    table.pair(what, off, 0.0, bound)


def absorption(args, up, table):
    import numpy as np

    words = up.Words(os.path.join(args.work, "acts", "words.h5"))
    first = True
    for arch in ARCHS:
        say(f"absorption, {arch}: saekit")
        mine = answer(tool(args, "sae-absorb", "--json", "--seed", "42", f"run_{arch}"))
        truth = kept_truth(args)
        if first:
            say("absorption: upstream trains its ground-truth probe")
            stage_truth(args, up, words, truth, mine, table)
            first = False
        say(f"absorption, {arch}: upstream")
        sae = up.load_sae(os.path.join(args.work, f"run_{arch}", "ckpt_100.h5"), LAYER)
        letters = {row["first_letter"]: row for row in mine["eval_result_details"]}
        splits = {c: row["split_latents"] for c, row in letters.items()}
        tried = {c: row["tried_latents"] for c, row in letters.items()}
        f1 = up.k_sparse_f1(words, sae, tried)
        table.lines += ["", f"### {arch}: the same probe direction, the same candidates", ""]
        table.head("metric", "saekit", "SAEBench", "off by", "bound", "within")
        words_of = {c: row["num_probe_true_positives"] for c, row in letters.items()}
        per_letter(table, "F1 of the k-sparse probes, largest over letters and k",
                   [(abs(a - b), words_of[c]) for c, row in letters.items()
                    for a, b in zip(row["tried_f1"], f1[c])])
        theirs = up.word_tests(words, sae, truth, splits, LAYER)
        for key, mean in (("full_absorption_rate", "mean_full_absorption_score"),
                          ("mean_absorption_fraction", "mean_absorption_fraction_score")):
            counted = [c for c, row in letters.items() if row["in_mean"]]
            ours = mine["eval_result_metrics"]["version_d"][mean]
            table.pair(f"{mean} (D)", ours if ours is not None else float("nan"),
                       np.mean([theirs[c][key] for c in counted]), 0.01)
            per_letter(table, f"{key}, largest over letters",
                       [(abs(letters[c][key] - theirs[c][key]), words_of[c]) for c in letters])
        table.pair("num_probe_true_positives, sum over letters", sum(words_of.values()),
                   sum(t["num_probe_true_positives"] for t in theirs.values()), 1, digits=0)


def stage_truth(args, up, words, truth, mine, table):
    import numpy as np

    w, f1 = up.train_truth(words, seed=1)
    cos = (w * truth[0]).sum(1) / np.linalg.norm(w, axis=1) / np.linalg.norm(truth[0], axis=1)
    table.lines += ["", "### Ground-truth probe, each side training its own", ""]
    table.head("metric", "saekit", "SAEBench", "off by", "bound", "within")
    table.pair("F1, mean over letters", np.mean([r["probe_f1"] for r in mine["eval_result_details"]]),
               np.mean(list(f1.values())), 0.02)
    table.pair("cosine of the directions, median over letters", float(np.median(cos)), 1.0, 0.05)


# --- the page ----------------------------------------------------------------------------------


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--demo", default=os.path.join(root, "demo"), help="folder with acts/ and texts/")
    p.add_argument("--model", default=os.path.join(root, "data", "tiny-g2"))
    p.add_argument("--build", default=os.path.join(root, "build"))
    p.add_argument("--work", default=os.path.join(root, "demo", "parity"), help="for runs made here")
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
