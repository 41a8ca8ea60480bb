#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tiny trained tokenizers of every kind that lm/tok_bpe.c reads, and ids of mixed text by Hugging
Face's `tokenizers`.

    lm_tokenizers.py OUT

writes OUT/NAME.json and OUT/cases.json: texts, and of each tokenizer the ids of each text without
special tokens added. Made with tokenizers of the version in cases.json."""
import json
import os
import sys

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
CORPUS = ["The river is wide at this point, and the old bridge has long been closed.",
          "In the morning a small boat carries the people of the village to the other side.",
          "for (int i = 0; i < n; i++) {\n    sum += a[i];\n}\n\n\treturn sum;",
          "They didn't bring bread, we've had oil; it's 1234 or 56789 of them.",
          "Caf\u00e9 cre\u0300me \u00fcber stra\u00dfe \u65e5\u672c\u8a9e\u306e\u6587\u7ae0",
          "The heart pumps blood through the vessels; the heart is a muscle of the body."] * 4
TEXTS = ["", " ", "a", "The river is wide.", " The old bridge  has   been closed. ",
         "it's I'LL they've didn't DON'T", "1 12 123 1234 12345678 3.14 \u00bd \u0664\u0665",
         "for (int i = 0; i < n; i++) {\n    sum += a[i];\n}\n\n\n\treturn sum;\r\n",
         "Cafe\u0301 caf\u00e9 cre\u0300me \u212b \ufb01sh \uff21\uff22 \u00b2",
         "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3068\u3001\u4e2d\u6587\u3002 \ud55c\uad6d\uc5b4 \u0440\u0435\u043a\u0430",
         "\U0001f642\U0001f1e9\U0001f1ea\u200d\U0001f468 \u00a0\u2003nbsp\u3000x\u2028y",
         "<s>text</s> <|endoftext|><|endoftext|> in <unk> the middle <s>",
         "\u2581marks\u2581of\u2581 spaces\u2581\u2581", "tabs\t\tand\n\n\nlines \n x\n ",
         "x" * 40 + " " * 17 + "y", "a\x00b\x7f", "the the the thethethe", "\u0301alone e\u0301\u0323"]


TEXTS += ["  \u0130stanbul STRASSE \u01c5 \u03a3\u03a3 \u00c5ngstr\u00f6m\u3000 ",
          "[MASK] x [MASK]y  [MASK]\u3000 z  [SEP]  \n w[SEP] word swords word_ word, \u00e9word word",
          "a--b -- c---d- -e", "__x__ $5+3=8 <a>^`|~ \u00bfqu\u00e9? \u2014 \u3001 \u200dz\u200c\u180e\u2160\u24b6",
          "\u2581 \u2581x a\u2581b  "]


def level(use_regex=True, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def byte_level(pre, normalizer=None, ignore_merges=False, size=480):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre
    if normalizer is not None:
        tok.normalizer = normalizer
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(tok.to_str())
    data["model"]["ignore_merges"] = ignore_merges
    return data


def fallback(normalizer, pre, fuse=True):
    """Bytes are pieces of the vocabulary, but no added tokens."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=fuse))
    if normalizer is not None:
        tok.normalizer = normalizer
    if pre is not None:
        tok.pre_tokenizer = pre
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=620, special_tokens=special,
                                                        show_progress=False))
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    return data


def unknown():
    data = fallback(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True))
    data["model"]["byte_fallback"] = False
    return data


def small(normalizer, pre):
    """Few merges; bytes at the end."""
    return byte_level(P.Sequence([pre, level(False)]), normalizer, size=290)


def flags(data):
    n = len(data["model"]["vocab"])
    for i, (c, flag) in enumerate([("[MASK]", "lstrip"), ("[SEP]", "rstrip"), ("word", "single_word")]):
        t = dict(id=n + i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=i == 2, special=i < 2)
        t[flag] = True
        data["added_tokens"].append(t)
    return data


def marks():
    data = fallback(None, P.Sequence([P.Digits(individual_digits=True),
                                      P.Metaspace(prepend_scheme="always", split=True)]))
    return data


def pairs_as_text(data):
    """Merges as older versions wrote them."""
    data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    return data


def normalised_token(data):
    data["added_tokens"].append(dict(id=len(data["model"]["vocab"]), content="the middle",
                                     single_word=False, lstrip=False, rstrip=False,
                                     normalized=True, special=False))
    return data


N, P = normalizers, pre_tokenizers
LLAMA2 = [N.Prepend("\u2581"), N.Replace(" ", "\u2581")]
MADE = {
    "gpt2": lambda: pairs_as_text(byte_level(level())),
    "neox": lambda: normalised_token(byte_level(level(), N.NFC())),
    "prefix": lambda: byte_level(level(prefix=True), N.NFKC()),
    "llama3": lambda: byte_level(P.Sequence([split(LLAMA3), level(False)]), None, True),
    "qwen2": lambda: byte_level(P.Sequence([split(QWEN2), level(False)]), N.NFC()),
    "smollm2": lambda: byte_level(P.Sequence([P.Digits(individual_digits=True), level()])),
    "llama2": lambda: fallback(N.Sequence(LLAMA2), None),
    "gemma": lambda: fallback(N.Replace(" ", "\u2581"), P.Split(" ", "merged_with_previous")),
    "mistral": lambda: fallback(None, P.Metaspace(prepend_scheme="first", split=False)),
    "never": lambda: fallback(N.NFKD(), P.Metaspace(prepend_scheme="never", split=True), False),
    "unknown": unknown,
    "lower": lambda: small(N.Sequence([N.NFD(), N.Lowercase(), N.Sequence([N.StripAccents(), N.Strip()])]),
                           P.Sequence([P.Whitespace(), P.Punctuation()])),
    "regex": lambda: small(N.Sequence([N.Replace(Regex(r"\s+"), " "), N.Strip(left=True, right=False)]),
                           P.Sequence([P.WhitespaceSplit(), P.Digits()])),
    "flags": lambda: flags(small(None, P.Punctuation("contiguous"))),
    "marks": lambda: marks(),
}
for b in ("removed", "isolated", "contiguous", "merged_with_previous", "merged_with_next"):
    for invert in (False, True):
        MADE["split_%s%s" % (b, "_inverted" * invert)] = lambda b=b, invert=invert: small(
            None, P.Sequence([P.Split(Regex(r"-|\s+(?=\S)|[aeiou](?!\w)"), b, invert)]))


def main(out):
    os.makedirs(out, exist_ok=True)
    cases = {"tokenizers": tokenizers.__version__, "texts": TEXTS, "ids": {}}
    for name, make in MADE.items():
        path = os.path.join(out, name + ".json")
        with open(path, "w") as f:
            json.dump(make(), f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
        tok = Tokenizer.from_file(path)
        cases["ids"][name] = [tok.encode(t, add_special_tokens=False).ids for t in TEXTS]
        print(name, tok.get_vocab_size(), os.path.getsize(path))
    with open(os.path.join(out, "cases.json"), "w") as f:
        json.dump(cases, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
