# SPDX-License-Identifier: MIT
"""SAEBench's own code on what saekit made: the shipped language model through TransformerLens,
saekit checkpoints through SAEBench's SAE classes, labelled texts and word sets read from saekit's
files. Nothing here computes a metric; it only feeds the functions of the package `sae-bench`.

Three things are put in the place of downloads: the language model (a Hugging Face folder instead
of a name on the hub), the texts (files), and, for absorption, the activations (those of words.h5,
because both sides must see the same random prompts to be compared)."""
import contextlib
import io
import json
import os
import random
import time
import types
import warnings
from unittest import mock

warnings.filterwarnings("ignore")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two threaded libraries spin beside each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JAXTYPING_DISABLE", "1")  # with newer jaxtyping, sizes of two calls mix

import h5py
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gemma_weights

import draw
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.relu_sae import ReluSAE
from sae_bench.custom_saes.topk_sae import TopKSAE

CPU = torch.device("cpu")


def quiet(function, *args, **kwargs):
    """Upstream prints a line for every probe."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*args, **kwargs)


# --- the language model ----------------------------------------------------------------------


def load_model(folder):
    """A Gemma-2 folder as TransformerLens has its gemma-2-2b, without processing of weights."""
    with open(os.path.join(folder, "config.json")) as f:
        c = json.load(f)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, add_bos_token=True)
    cfg = HookedTransformerConfig(
        model_name=os.path.basename(os.path.normpath(folder)),
        d_model=c["hidden_size"],
        d_head=c["head_dim"],
        n_heads=c["num_attention_heads"],
        n_key_value_heads=c["num_key_value_heads"],
        d_mlp=c["intermediate_size"],
        n_layers=c["num_hidden_layers"],
        n_ctx=c["max_position_embeddings"],
        eps=c["rms_norm_eps"],
        d_vocab=c["vocab_size"],
        act_fn="gelu_pytorch_tanh",
        normalization_type="RMS",
        rotary_base=c["rope_theta"],
        rotary_dim=c["head_dim"],
        positional_embedding_type="rotary",
        use_attn_scale=True,
        attn_scale=float(np.sqrt(c["query_pre_attn_scalar"])),
        window_size=c["sliding_window"],
        use_local_attn=True,
        attn_types=["local" if t == "sliding_attention" else "global" for t in c["layer_types"]],
        attn_scores_soft_cap=c["attn_logit_softcapping"],
        output_logits_soft_cap=c["final_logit_softcapping"],
        gated_mlp=True,
        final_rms=True,
        use_normalization_before_and_after=True,
        original_architecture="Gemma2ForCausalLM",
        dtype=torch.float32,
        device="cpu",
        default_prepend_bos=True,
    )
    model = HookedTransformer(cfg, tokenizer=tokenizer)
    model.load_state_dict(convert_gemma_weights(hf, cfg), strict=False)
    model.eval()
    return model


# --- autoencoders ------------------------------------------------------------------------------


def load_sae(path, layer):
    with h5py.File(path, "r") as f:
        arch = f.attrs["arch"]
        arch = arch.decode() if isinstance(arch, bytes) else str(arch)
        k = int(f.attrs["k"])
        get = {n: torch.tensor(f[n][()]) for n in ("W_enc", "W_dec", "b_enc", "b_dec")}
        if "threshold" in f:
            get["threshold"] = torch.tensor(f["threshold"][()])
    d_sae, d_in = get["W_dec"].shape
    common = dict(model_name="tiny-g2", hook_layer=layer, device=CPU, dtype=torch.float32)
    if arch == "topk":
        sae = TopKSAE(d_in, d_sae, k, **common)
    elif arch == "standard":
        sae = ReluSAE(d_in, d_sae, **common)
    elif arch == "jumprelu":
        sae = JumpReluSAE(d_in, d_sae, **common)
        sae.threshold.data = get["threshold"]
    else:
        raise SystemExit(f"{path}: no class of SAEBench for architecture {arch} here")
    sae.W_enc.data = get["W_enc"].T.contiguous()
    sae.W_dec.data = get["W_dec"].contiguous()
    sae.b_enc.data, sae.b_dec.data = get["b_enc"], get["b_dec"]
    sae.cfg.architecture = arch
    sae.cfg.context_size = 128
    from sae_bench.sae_bench_utils import general_utils

    return general_utils.load_and_format_sae("saekit", sae, "cpu")[1]


# --- core --------------------------------------------------------------------------------------


def core(model, sae, texts, n_batches, context=128, batch=16):
    """Both passes on the same first contexts of the documents `texts`, packed by SAELens."""
    import sae_bench.evals.core.main as core_main
    from datasets import Dataset
    from sae_lens.training.activations_store import ActivationsStore

    def store():
        return ActivationsStore.from_sae(
            model, sae, context_size=context, dataset=Dataset.from_dict({"text": texts}),
            streaming=False,
        )

    tokenizer = model.tokenizer
    ignore = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
    with torch.no_grad():
        behaviour = core_main.get_downstream_reconstruction_metrics(
            sae, model, store(), compute_kl=True, compute_ce_loss=True, n_batches=n_batches,
            eval_batch_size_prompts=batch, ignore_tokens=ignore,
            exclude_special_tokens_from_reconstruction=True,
        )
        scalars, features = core_main.get_sparsity_and_variance_metrics(
            sae, model, store(), n_batches=n_batches, compute_l2_norms=True,
            compute_sparsity_metrics=True, compute_variance_metrics=True,
            compute_featurewise_density_statistics=True, eval_batch_size_prompts=batch,
            model_kwargs={}, ignore_tokens=ignore,
        )
        features |= core_main.get_featurewise_weight_based_metrics(sae)
        misc = core_main.calculate_misc_metrics(features)
    return {**behaviour, **scalars, **misc}, features


# --- sparse probing ----------------------------------------------------------------------------


def read_labels(path):
    """Labelled set of saekit as upstream's dicts {class: [texts, tokens, d]}: rows of kept tokens,
    zeros after them. Upstream tells padding from text by rows of zeros, as it is made here."""
    sides = ({}, {})
    with h5py.File(path, "r") as f:
        rows, start = f["rows"], f["start"][()].astype(int)
        label, split = f["label"][()], f["split"][()]
        classes = [c.decode() for c in f["classes"][()]]
        x = rows[()].astype(np.float32)
    length = int(np.max(np.diff(start)))
    for side in (0, 1):
        for c, name in enumerate(classes):
            texts = np.flatnonzero((label == c) & (split == side))
            acts = torch.zeros(len(texts), length, x.shape[1])
            for i, t in enumerate(texts):
                n = start[t + 1] - start[t]
                acts[i, :n] = torch.from_numpy(x[start[t] : start[t + 1]])
            sides[side][name] = acts
    return sides


def probing_activations(model, layer, texts_by_side, context):
    """Upstream's own way from texts to activations."""
    from sae_bench.sae_bench_utils import activation_collection, dataset_utils

    out = []
    for data in texts_by_side:
        tokens = quiet(dataset_utils.tokenize_data_dictionary, data, model.tokenizer, context, "cpu")
        out.append(
            quiet(activation_collection.get_all_llm_activations, tokens, model, 64, layer,
                  f"blocks.{layer}.hook_resid_post", mask_bos_pad_eos_tokens=True))
    return out


class ExactRegression(LogisticRegression):
    def fit(self, x, y):
        self.tol = 1e-10
        return super().fit(x.astype(np.float64), y)

    def predict(self, x):
        return super().predict(x.astype(np.float64))


def mean_of(accuracy):
    return float(np.mean(list(accuracy.values())))


class Probing:
    """Sparse probing of one set: pooled once, then any number of seeds."""

    def __init__(self, sides):
        from sae_bench.sae_bench_utils import activation_collection

        self.sides = sides
        self.collect = activation_collection
        self.neurons = [activation_collection.create_meaned_model_activations(s) for s in sides]
        self.latents, self.draws = None, {}

    def encode(self, sae):
        with torch.no_grad():
            self.latents = [
                self.collect.get_sae_meaned_activations(dict(s), sae, 125) for s in self.sides]

    def top_k(self, what, k, seed):
        """Accuracy by class on upstream's own draw of negatives."""
        from sae_bench.evals.sparse_probing import probe_training

        train, test = self.latents if what == "sae" else self.neurons
        random.seed(seed)
        torch.manual_seed(seed)
        _, accuracy = quiet(probe_training.train_probe_on_activations, train, test, select_top_k=k)
        return accuracy

    def top_k_given(self, what, k, seed, exact=False):
        """The same on the texts that sae-probe draws under the seed. exact: scikit-learn in double
        and with its tolerance far below its default, where upstream has it in f32."""
        from sae_bench.evals.sparse_probing import probe_training

        train = (self.latents if what == "sae" else self.neurons)[0]
        names = list(train)

        def given(acts, name, perform_scr=False):
            split, c = int(acts is not train), names.index(name)
            negative = self.drawn(c, split, seed)
            x = torch.cat([acts[name], torch.stack([acts[names[i]][t] for i, t in negative])])
            label = torch.zeros(len(x), dtype=torch.int)
            label[: len(acts[name])] = 1
            return x, label

        with (mock.patch.object(probe_training, "prepare_probe_data", given),
              mock.patch.object(probe_training, "LogisticRegression",
                                ExactRegression if exact else LogisticRegression)):
            return self.top_k(what, k, seed)

    def drawn(self, c, split, seed):
        if (c, split, seed) not in self.draws:
            (n,) = {len(x) for x in self.sides[split].values()}
            self.draws[c, split, seed] = draw.negatives(len(self.sides[split]), n, c, split, seed)
        return self.draws[c, split, seed]

    def full(self, what, seed):
        from sae_bench.evals.sparse_probing import probe_training

        train, test = self.latents if what == "sae" else self.neurons
        random.seed(seed)
        torch.manual_seed(seed)
        _, accuracy = quiet(
            probe_training.train_probe_on_activations, train, test, select_top_k=None,
            use_sklearn=False, batch_size=250, epochs=100, lr=1e-2)
        return accuracy


# --- absorption --------------------------------------------------------------------------------


class Words:
    def __init__(self, path):
        with h5py.File(path, "r") as f:
            self.words = [w.decode() for w in f["words"][()]]
            self.letter = f["letter"][()].astype(int)
            self.split = f["split"][()]
            self.probe, self.eval = f["probe"][()], f["eval"][()]
        self.train = np.flatnonzero(self.split == 0)
        self.test = np.flatnonzero(self.split == 1)


class _Tokenizer:
    """Words are the vocabulary: a token is its own text."""

    def __init__(self, words):
        self.vocab = {w: i for i, w in enumerate(words)}

    @staticmethod
    def convert_tokens_to_string(tokens):
        return tokens[0]


class WordModel:
    """Stands for the language model in absorption: answers a prompt with the activation that
    words.h5 holds for the prompt's word."""

    def __init__(self, words, layer):
        self.cfg = types.SimpleNamespace(model_name="tiny-g2")
        self.tokenizer = _Tokenizer(words.words)
        self.hook = f"blocks.{layer}.hook_resid_post"
        self.eval = {w: torch.from_numpy(words.eval[i]) for i, w in enumerate(words.words)}

    def to_tokens(self, prompt):
        return torch.zeros(1, 1)

    def run_with_cache(self, prompts, names_filter=None):
        tail = " has the first letter:"
        words = [p.split("\n")[-1][: -len(tail)] for p in prompts]
        return None, {self.hook: torch.stack([self.eval[w] for w in words])[:, None, :]}


def absorption_setup(words, folder, layer, seed, truth=None, device="cpu"):
    """Writes the files that upstream keeps for a model and layer: activations of training and test
    words, and its ground-truth probe, trained here by its own function, or given as (w, b)."""
    import pandas as pd
    from sae_bench.evals.absorption.probing import (LinearProbe, save_probe_and_data,
                                                    train_linear_probe_for_task)

    torch.set_grad_enabled(True)
    random.seed(seed)
    torch.manual_seed(seed)
    frames = []
    for index in (words.train, words.test):
        frames.append(pd.DataFrame({"answer_class": words.letter[index],
                                    "token": [words.words[i] for i in index]}))
    acts = [np.ascontiguousarray(words.probe[i]) for i in (words.train, words.test)]
    if truth is None:
        probe, data = quiet(
            train_linear_probe_for_task, train_df=frames[0], test_df=frames[1],
            train_activations=acts[0], test_activations=acts[1], num_classes=26, batch_size=64,
            num_epochs=50, lr=1e-2, device=torch.device(device))
    else:
        probe = LinearProbe(acts[0].shape[1], 26)
        probe.fc.weight.data = torch.tensor(truth[0])
        probe.fc.bias.data = torch.tensor(truth[1])
        data = {"X_train": torch.from_numpy(acts[0]), "X_test": torch.from_numpy(acts[1]),
                "y_train": torch.tensor(words.letter[words.train]),
                "y_test": torch.tensor(words.letter[words.test])}
    target = os.path.join(folder, "probes", "tiny-g2", f"layer_{layer}")
    save_probe_and_data(probe, data, target)
    for name, frame in zip(("train", "test"), frames):
        frame.to_csv(os.path.join(target, f"{name}_df.csv"))


def absorption(words, sae, folder, layer, seed, splits=None, batch=4096):
    """Upstream's two experiments in turn; the mean over letters as its main() forms it. splits:
    {letter: latents} puts these in the place of the k-sparse probes' own choice. The latents are
    encoded once, as upstream recommends for small SAEs."""
    import sae_bench.evals.absorption.feature_absorption as absorb
    import sae_bench.evals.absorption.main as main
    from sae_bench.evals.absorption import k_sparse_probing as sparse

    model = WordModel(words, layer)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_grad_enabled(True)
    common = dict(model=model, sae=sae, layer=layer, sae_name="sae", max_k_value=10,
                  prompt_template="{word} has the first letter:", prompt_token_pos=-1,
                  device="cpu", force=True, probes_dir=os.path.join(folder, "probes"))
    k_sparse = quiet(
        sparse.run_k_sparse_probing_experiment, experiment_dir=os.path.join(folder, "sparse"),
        k_sparse_probe_batch_size=batch, f1_jump_threshold=0.03, **common)
    chosen = {r["letter"]: list(r["split_feats"]) for _, r in k_sparse.iterrows()}
    original = absorb.add_feature_splits_to_metrics_df
    if splits is not None:
        def given(df, **kwargs):
            original(df, **kwargs)
            df["split_feats"] = df["letter"].apply(lambda letter: splits.get(letter, []))
        absorb.add_feature_splits_to_metrics_df = given
    try:
        raw = quiet(
            absorb.run_feature_absortion_experiment,
            experiment_dir=os.path.join(folder, "absorption"),
            sparse_probing_experiment_dir=os.path.join(folder, "sparse"),
            feature_split_f1_jump_threshold=0.03, **common)
    finally:
        absorb.add_feature_splits_to_metrics_df = original
    table = main._aggregate_results_df(raw)
    f1 = dict(zip(k_sparse["letter"], k_sparse["f1_probe"]))
    letters = {
        r["letter"]: dict(full=float(r["full_absorption_rate"]),
                          fraction=float(r["mean_absorption_fraction"]),
                          true_positives=int(r["num_probe_true_positives"]),
                          split=int(r["num_split_feats"]), f1=float(f1[r["letter"]]))
        for _, r in table.iterrows()}
    return letters, chosen


def train_truth(words, seed):
    """Upstream's ground-truth probe by itself: its weights and its F1 on the test words."""
    from sae_bench.evals.absorption.probing import train_multi_probe
    from sklearn.metrics import f1_score

    torch.set_grad_enabled(True)
    torch.manual_seed(seed)
    x = torch.from_numpy(words.probe[words.train])
    y = torch.nn.functional.one_hot(torch.tensor(words.letter[words.train]), 26)
    probe = quiet(train_multi_probe, x, y, num_probes=26, batch_size=64, num_epochs=50, lr=1e-2,
                  weight_decay=1e-4, device=CPU)
    with torch.no_grad():
        said = (probe(torch.from_numpy(words.probe[words.test])) > 0).numpy()
    truth = words.letter[words.test]
    letters = "abcdefghijklmnopqrstuvwxyz"
    f1 = {letters[c]: f1_score(truth == c, said[:, c]) for c in range(26) if (truth == c).any()}
    return probe.weights.detach().numpy(), f1


def k_sparse_f1(words, sae, tried):
    """F1 of upstream's k-sparse probes on latents given in order, for k = 1 ... as many as given."""
    from sae_bench.evals.absorption import k_sparse_probing as sparse
    from sklearn.metrics import f1_score

    with torch.no_grad():
        train = sparse._get_sae_acts(sae, torch.from_numpy(words.probe[words.train])).float()
        test = sparse._get_sae_acts(sae, torch.from_numpy(words.probe[words.test])).float()
    out = {}
    for c, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        out[letter] = []
        for k in range(1, len(tried.get(letter, [])) + 1):
            ids = torch.tensor(tried[letter][:k])
            fit = LogisticRegression(max_iter=500, class_weight="balanced").fit(  # as upstream's
                train[:, ids].numpy(), (words.letter[words.train] == c).astype(np.int64))
            probe = sparse.KSparseProbe(torch.tensor(fit.coef_[0]).float(),
                                        torch.tensor(fit.intercept_[0]).float(), ids)
            said = (probe(test) > 0).numpy()
            out[letter].append(f1_score(words.letter[words.test] == c, said))
    return out


def word_tests(words, sae, truth, splits, layer):
    """Upstream's test of every word, under a given probe (w, b) and given split latents."""
    from sae_bench.evals.absorption import feature_absorption as absorb
    from sae_bench.evals.absorption import main
    from sae_bench.evals.absorption.probing import LinearProbe
    from sae_bench.evals.absorption.prompting import first_letter_formatter

    probe = LinearProbe(words.probe.shape[1], 26)
    probe.fc.weight.data, probe.fc.bias.data = torch.tensor(truth[0]), torch.tensor(truth[1])
    with torch.no_grad():
        logits = probe(torch.from_numpy(words.probe[words.test])).numpy()
    stats = {}
    for c, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        hits = [words.words[w] for i, w in enumerate(words.test)
                if words.letter[w] == c and logits[i, c] > 0]
        if hits and letter in splits:
            stats[letter] = absorb.StatsAndLikelyFalseNegativeResults(
                len(hits), 0, splits[letter], hits)
    calculator = absorb.FeatureAbsorptionCalculator(
        model=WordModel(words, layer), icl_word_list=words.words, max_icl_examples=10,
        base_template="{word} has the first letter:", answer_formatter=first_letter_formatter(),
        word_token_pos=-1, batch_size=64,
        full_absorption_probe_cos_sim_threshold=absorb.FULL_ABSORPTION_PROBE_COS_THRESHOLD,
        absorption_fraction_probe_cos_sim_threshold=absorb.ABSORPTION_FRACTION_PROBE_COS_THRESHOLD,
        probe_projection_proportion_threshold=(
            absorb.ABSORPTION_PROBE_PROJECTION_PROPORTION_THRESHOLD),
        absorption_fraction_max_absorbing_latents=absorb.ABSORPTION_FRACTION_MAX_ABSORBING_LATENTS)
    raw = quiet(absorb.calculate_projection_and_cos_sims, calculator, sae, probe, layer, stats)
    table = main._aggregate_results_df(raw)
    keys = ("full_absorption_rate", "mean_absorption_fraction", "num_probe_true_positives")
    return {row["letter"]: {k: float(row[k]) for k in keys} for _, row in table.iterrows()}


# --- whole programs, for speed.py --------------------------------------------------------------


def main():
    """upstream.py absorb WORDS CKPT LAYER SEED | probe LABELS,.. CKPT LAYER SEED | probe-k ...
    prints JSON; probe-k leaves out the probes on all features. "start": seconds until here."""
    import sys
    import tempfile

    what, paths, ckpt, layer, seed = sys.argv[1:6]
    layer, seed = int(layer), int(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    start = {"wall": time.time() - float(os.environ.get("SPEED_BEGAN", "nan")),
             "cpu": time.process_time()}
    sae = load_sae(ckpt, layer)
    if what == "absorb":
        words = Words(paths)
        with tempfile.TemporaryDirectory() as folder:
            absorption_setup(words, folder, layer, seed)
            letters, _ = absorption(words, sae, folder, layer, seed)
        counted = [v for v in letters.values() if v["f1"] > 0.6]
        out = {k: float(np.mean([v[k] for v in counted])) for k in ("full", "fraction", "split")}
    else:
        got = []
        for path in paths.split(","):
            probing = Probing(read_labels(path))
            probing.encode(sae)
            got.append({f"{side}_top_{k}_test_accuracy": mean_of(probing.top_k(side, k, seed))
                        for side in ("llm", "sae") for k in (1, 2, 5)})
            if what == "probe":
                for side in ("llm", "sae"):
                    got[-1][f"{side}_test_accuracy"] = mean_of(probing.full(side, seed))
        out = {key: float(np.mean([g[key] for g in got])) for key in got[0]}
    print(json.dumps({"start": start, "scores": out}))


if __name__ == "__main__":
    main()
