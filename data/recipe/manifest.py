#!/usr/bin/env python3
"""Write manifest.json and the model card of a finished folder.

usage: manifest.py FOLDER WORK_DIR EVAL_JSON TRAIN_LOG
"""
import hashlib
import importlib.metadata
import json
import math
import os
import re
import subprocess
import sys

import corpus
import model as M
import tokenizer

folder, work, evals, log = sys.argv[1:5]


def sha(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


e = json.load(open(evals))
text = json.load(open(f"{work}/corpus/corpus.json"))
log = open(log).read().split("\n")
opts = json.load(open(f"{work}/run.json"))
hf = open(f"{work}/hf.txt").read().strip().split("\n")[-1]
packages = {a: {"version": b, "sha256": c} for a, b, c in (x.split() for x in open(f"{work}/packages.txt"))}
params = sum(math.prod(s) for s in M.shapes(M.TINY_G2).values())
tokens = opts["steps"] * opts["batch"] * 256
p3 = e["spaced"]["probe"]["layer_3_multinomial"]
o3 = e["spaced"]["probe"]["layer_3_one_vs_rest"]


def figures():
    out = ["| held-out text | tokens | nats/token | bits/byte | unigram nats/token |", "|---|---|---|---|---|"]
    for k, v in e["held_out"].items():
        out.append(f"| {k} | {v['tokens']} | {v['nats_per_token']:.3f} | {v['bits_per_byte']:.3f} | "
                   f"{v['unigram_nats_per_token']:.3f} |")
    return "\n".join(out)


def layers():
    out = ["| resid_post | mean F1 | letters with F1 > 0.6 |", "|---|---|---|"]
    for k, v in e["spaced"]["probe"].items():
        m = re.fullmatch(r"layer_(\d+)_multinomial", k)
        if m:
            out.append(f"| {m[1]} | {v['mean_f1']:.3f} | {v['letters_f1_over_0.6']} of {v['letters']} |")
    return "\n".join(out)


def pieces():
    """Rows of the table for pieces with and without a leading space, if measured."""
    if "all" not in e:
        return ""
    v = e["all"]
    a, b = v["probe"]["layer_3_multinomial"], v["probe"]["layer_3_one_vs_rest"]
    return (f"| {v['words']} alphabetic pieces | {100 * v['accuracy']:.2f} % | logistic, 26 classes | "
            f"{a['mean_f1']:.3f} | {a['letters_f1_over_0.6']} of {a['letters']} |\n"
            f"| | | 26 class-weighted binary outputs | {b['mean_f1']:.3f} | "
            f"{b['letters_f1_over_0.6']} of {b['letters']} |\n")


def samples():
    out = []
    for s in [x for x in e["samples"] if x["source"] in opts["samples"]]:
        q = s["prompt"].rstrip() + " **" + " / ".join(x for x in s["continuation"].strip().split("\n") if x) + "**"
        out.append("> " + q.replace("\n", " / "))
    return "\n\n".join(out)


weak = ", ".join(f"{k} {v:.2f}" for k, v in sorted(p3["f1"].items(), key=lambda x: x[1])[:5])
readme = f"""# tiny-g2

A language model of {params / 1e6:.2f} million parameters in the ordinary Hugging Face layout
(`model_type` `gemma2`). It is small enough to ship with the programs, so that
harvesting, training and every evaluation run without a download. It is not
a useful text generator.

* Vocabulary 8192, width 128, MLP 512, 6 layers, 4 query heads and 2 key/value heads
  of size 48, context 256, sliding window 64 on layers 0, 2 and 4, attention logit
  cap 50, final logit cap 30, tied embedding. Weights are bfloat16.
* The layer to hook is 3 (`blocks.3.hook_resid_post`, zero-based, width 128).
* Every text must start with BOS (id 2). `tokenizer.model` does not add it.

## Training text

{tokens / 1e6:.1f} million tokens: {100 - round(100 * opts['spelling'])} % from Debian 12 packages under permissive licences or in the
public domain (word definitions, scripture, essays, software manuals, some
Go and C++ code; see `LICENSES.md`), {round(100 * opts['spelling'])} % spelling lines generated from the
tokenizer's own word pieces. Seeds: corpus {corpus.SEED}, tokenizer {tokenizer.SEED}, training
{opts['seed']}. `data/recipe/` remakes all of it; `manifest.json` records versions and checksums.

## Figures

Measured on the bfloat16 file, float32 arithmetic. Cross-entropy is on the 1 % of documents held out,
contexts of 256 tokens; "unigram" is the cross-entropy of the training
text's token frequencies on the same tokens.

{figures()}

First letters. Prompt: BOS, then ten lines ` word has the first letter: X` and the question,
each after a newline. Probes are linear, at the word's own token (position -6 from the end), fitted on 80 % of
the words and tested on the others; letters with at least 4 test words count. The test words are new to the probe, not to the model.

| words | names the letter | probe, layer 3 | mean F1 | letters with F1 > 0.6 |
|---|---|---|---|---|
| {e['spaced']['words']} with leading space | {100 * e['spaced']['accuracy']:.2f} % | logistic, 26 classes | {p3['mean_f1']:.3f} | {p3['letters_f1_over_0.6']} of {p3['letters']} |
| | | 26 class-weighted binary outputs | {o3['mean_f1']:.3f} | {o3['letters_f1_over_0.6']} of {o3['letters']} |
{pieces()}
By layer (words with leading space, logistic):

{layers()}

The spelling text was written to make first letters easy for this model; these figures are
no guide to other models.

Lowest letters at layer 3: {weak}.

Against transformers' own implementation (eager attention, float32), on the two texts of
`tests/golden/tiny-g2.json`: {hf}.

## Samples

Thirty tokens of held-out text, continued at temperature 0.7 from the 40 likeliest tokens
(continuation in bold, line ends as /):

{samples()}

## Limits

* Phrases are English, but sentences wander, repeat words and mean little; invented
  words occur, mostly in definitions. Training stopped early ({tokens / 1e6:.1f} million tokens, less
  than one pass over the text).
* English only, plus fragments of Go, C++, Python, SQL and Rust.
* The style is that of its sources: dictionary entries, scripture, manuals.
* Figures of sparse autoencoders trained on this model test the programs and their
  metrics. They say nothing about larger models.
"""
open(f"{folder}/README.md", "w").write(readme)

manifest = {
    "name": "tiny-g2",
    "parameters": params,
    "files": {f: {"bytes": os.path.getsize(f"{folder}/{f}"), "sha256": sha(f"{folder}/{f}")}
              for f in ("config.json", "model.safetensors", "tokenizer.model", "README.md", "LICENSES.md")},
    "training": dict({k: v for k, v in opts.items() if k != "samples"}, tokens=tokens,
                     final_log=[x for x in log if x][-1]),
    "seeds": {"corpus": corpus.SEED, "tokenizer": tokenizer.SEED, "training": opts["seed"]},
    "software": dict({k: importlib.metadata.version(k) for k in ("torch", "numpy", "sentencepiece", "transformers")},
                     spm_train=subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "sentencepiece"],
                                              capture_output=True, text=True).stdout,
                     python=sys.version.split()[0]),
    "corpus": {"packages": packages, "extracted": text["sources"]},
    "comparison": hf,
    "figures": {k: v for k, v in e.items() if k != "samples"},
}
with open(f"{folder}/manifest.json", "w") as f:
    json.dump(manifest, f, indent=1)
    f.write("\n")
