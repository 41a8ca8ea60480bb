#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ids of tokenizer.json files beside Hugging Face's `tokenizers`, on mixed text.

    tests/parity/ids.py --encode build/tests/parity/encode FOLDER [NAME ...] [--mb 100] [--seed 1]

FOLDER/NAME.json are the files; without names all of them. The text is made from what the machine has
(sources of Python and C, messages of programs in their languages) and from a random generator: scripts,
emoji with joiners and skin tones, code, numbers, runs of white space, combining marks, private use, every
assigned character, texts of special tokens, words of a megabyte, bytes that are no UTF-8. The peer sees
what Python's decode(errors="replace") makes of these. One document in fifty is larger than 1 MiB, and is
given to saekit in parts. A document's ids are equal, or the first difference is printed; then a table with
the processor time of both. Needs the packages tokenizers and numpy; it is no part of ./test.sh."""
import argparse
import glob
import gettext
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata

import numpy as np
import tokenizers

BLOCKS = [(0x20, 0x7f), (0xa0, 0x250), (0x250, 0x370), (0x370, 0x400), (0x400, 0x530), (0x530, 0x600),
          (0x600, 0x700), (0x700, 0x780), (0x900, 0x980), (0x980, 0xa00), (0xb80, 0xc00), (0xe00, 0xe80),
          (0xf00, 0x1000), (0x1000, 0x10a0), (0x10a0, 0x1100), (0x1100, 0x1200), (0x1200, 0x1380),
          (0x1780, 0x1800), (0x1800, 0x18b0), (0x1e00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2200),
          (0x2200, 0x2400), (0x2460, 0x2800), (0x3000, 0x3100), (0x3100, 0x3400), (0x4e00, 0x9fff),
          (0xac00, 0xd7a4), (0xf900, 0xfb00), (0xfb00, 0xfe00), (0xfe00, 0xfe70), (0xff00, 0xfff0),
          (0x10000, 0x10200), (0x1d400, 0x1d800), (0x1f100, 0x1f200), (0x1f300, 0x1f700), (0x20000, 0x20100)]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2009", "\u200b", "\u180e", "\x85",
          "\u2028", "\x0b", "\x0c", " " * 17, "\n" * 9, "\t\t\t", " \n \n", "    "]
MARKS = [chr(c) for c in range(0x300, 0x370)] + list("\u0323\u0591\u064b\u093c\u0e31\u0e48\u20d0\u3099\u309a\u0345")
BASE = [0x1f468, 0x1f469, 0x1f44d, 0x1f3c3, 0x2764, 0x1f3f3, 0x1f9d1, 0x1f590]
SPECIAL = ["<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<bos>",
           "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<pad>", "<mask>", "<0x0A>", "\u2581", "<|padding|>"]


def letters(block):
    return [chr(c) for c in range(*block) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def emoji(r):
    s = chr(r.choice(BASE)) + (chr(r.randrange(0x1f3fb, 0x1f400)) if r.random() < .5 else "")
    while r.random() < .4:
        s += "\u200d" + chr(r.choice(BASE)) + ("\ufe0f" if r.random() < .3 else "")
    return s


def number(r):
    a, b = (str(r.randrange(10 ** r.randrange(1, 20))) for _ in range(2))
    return a + r.choice(["", ".", ",", "/", "e-", "x"]) + r.choice(["", b])


def piece(r, scripts):
    k = r.randrange(12)
    if k < 5:
        s = r.choice(scripts)
        return "".join(r.choice(s) for _ in range(r.randrange(1, 12)))
    if k == 5:
        return r.choice(["it's", "I'LL", "they've", "we'D", "don't", "\u017f's", "'\u017f", "'S", "''", "'re'"])
    if k == 6:
        return emoji(r)
    if k == 7:
        return r.choice(["", "-", "+"]) + (number(r) if r.random() < .9 else "\u0664\u0665\u00bd\u2167\u00b2\u3007")
    if k == 8:
        return "".join(r.choice("aeouAOc\u0430\u3042\u1100") + "".join(r.choice(MARKS) for _ in range(r.randrange(4)))
                       for _ in range(r.randrange(1, 5)))
    if k == 9:
        return chr(r.choice([r.randrange(0xe000, 0xf900), r.randrange(0xf0000, 0xf0400), r.randrange(0, 32), 0xfeff,
                             0xfffd, 0xfffe, 0x10ffff, 0xad, 0x7f]))
    if k == 10:
        return r.choice(SPECIAL)
    return r.choice(["...", "!?", "->", "({[", "]);", "//", "==", "\u2014", "\u201c\u201d", "_", "__init__", "$x", "#\u0040"])


def made(r, scripts, n):
    out, size = [], 0
    while size < n:
        s = "".join(piece(r, scripts) + (r.choice(SPACES) if r.random() < .6 else "") for _ in range(200))
        if r.random() < .05:
            s += r.choice(["x", "ab", " ", "\n", "\u3042", "1", "-", "\u0301"]) * r.randrange(1, 3000)
        out.append(s)
        size += len(s.encode("utf-8"))
    raw = "".join(out).encode("utf-8")
    if r.random() < .3:
        raw = bytearray(raw)
        for _ in range(max(1, len(raw) // 500)):
            raw[r.randrange(len(raw))] = r.randrange(256)
    return bytes(raw)


def found():
    """Natural text and code of the machine."""
    texts = []
    for mo in sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/*.mo")):
        try:
            with open(mo, "rb") as f:
                texts.append("\n".join(str(v) for v in gettext.GNUTranslations(f)._catalog.values()).encode("utf-8"))
        except (OSError, ValueError, LookupError):
            pass
    for path in sorted(glob.glob("/usr/lib/python3*/**/*.py", recursive=True) + glob.glob("/usr/include/**/*.h", recursive=True)
                       + glob.glob("/usr/share/doc/*/*.txt") + glob.glob("/usr/share/common-licenses/*")):
        try:
            with open(path, "rb") as f:
                texts.append(f.read())
        except OSError:
            pass
    return [t for t in texts if t]


def documents(n_bytes, seed):
    r = random.Random(seed)
    scripts = [s for s in map(letters, BLOCKS) if s]
    every = "".join(chr(c) + ("a " if c % 3 else " ") for c in range(0x110000)
                    if not 0xd800 <= c < 0xe000 and unicodedata.category(chr(c)) != "Cn" or 0xfdd0 <= c < 0xfdf0)
    docs = [b"", b" ", b"\n", every.encode("utf-8"), b"x" * 1500000, ("\u3042" * 500000).encode("utf-8"),
            b" " * 1200000 + b"y", b"ab " * 500000]
    natural = found()
    r.shuffle(natural)
    size = sum(map(len, docs))
    while size < n_bytes:
        if natural and r.random() < .5:
            d = natural.pop()
        else:
            d = made(r, scripts, r.choice([10, 100, 1000, 20000, 100000]))
        if r.random() < .02:
            while len(d) < 3 << 20:
                d += natural.pop() if natural and r.random() < .6 else made(r, scripts, 200000)
        docs.append(d)
        size += len(d)
    return docs


def compare(name, path, docs, texts, where, encode):
    folder = os.path.join(where, name)
    os.makedirs(folder, exist_ok=True)
    shutil.copy(path, os.path.join(folder, "tokenizer.json"))
    out = os.path.join(where, "out")
    took = float(subprocess.run([encode, folder, os.path.join(where, "text"), os.path.join(where, "lengths"), out],
                                check=True, stdout=subprocess.PIPE, text=True).stdout)
    tok = tokenizers.Tokenizer.from_file(path)
    own, at, differ, total, peer = np.fromfile(out, dtype="<u4"), 0, 0, 0, 0.0
    for i, text in enumerate(texts):
        n = int(own[at]) | int(own[at + 1]) << 32
        ids = own[at + 2:at + 2 + n]
        at += 2 + n
        begin = time.process_time()
        enc = tok.encode(text, add_special_tokens=False)
        peer += time.process_time() - begin
        want = np.array(enc.ids, dtype=np.uint32)
        total += len(want)
        if not np.array_equal(ids, want):
            m = min(len(ids), len(want))
            k = int(np.argmax(ids[:m] != want[:m])) if (ids[:m] != want[:m]).any() else m
            if differ < 5:
                b = enc.offsets[k][0] if k < len(want) else len(text)
                print(f"{name}: document {i} ({len(docs[i])} bytes), id {k}: {ids[k:k + 5]} expected {want[k:k + 5]}, "
                      f"at {text[max(0, b - 20):b]!r} | {text[b:b + 20]!r}", file=sys.stderr)
            differ += 1
    return differ, total, took, peer


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("names", nargs="*")
    p.add_argument("--encode", required=True)
    p.add_argument("--mb", type=float, default=100)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    docs = documents(int(args.mb * 1e6), args.seed)
    texts = [d.decode("utf-8", "replace") for d in docs]
    size = sum(map(len, docs))
    names = args.names or sorted(os.path.splitext(f)[0] for f in os.listdir(args.folder) if f.endswith(".json"))
    bad = 0
    with tempfile.TemporaryDirectory() as where:
        with open(os.path.join(where, "text"), "wb") as f:
            f.write(b"".join(docs))
        np.array([len(d) for d in docs], dtype="<u8").tofile(os.path.join(where, "lengths"))
        print(f"{size / 1e6:.1f} MB in {len(docs)} documents, tokenizers {tokenizers.__version__}\n")
        print("| file | tokens | documents that differ | saekit CPU s | tokenizers CPU s | times |\n|---|---|---|---|---|---|")
        for name in names:
            differ, total, took, peer = compare(name, os.path.join(args.folder, name + ".json"), docs, texts, where,
                                                args.encode)
            print(f"| {name} | {total} | {differ} | {took:.1f} | {peer:.1f} | {peer / took:.1f} |", flush=True)
            bad += differ
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
