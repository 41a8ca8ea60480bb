#!/usr/bin/env python3
"""Make the SentencePiece BPE model of tiny-g2 with Debian's spm_train.

usage: tokenizer.py CORPUS_DIR SCOWL_DIR OUT_DIR

The training text is the prose part of the corpus, one million characters of
code, and spelling lines over frequent words.  Words of the rarer initial
letters are repeated so that each letter gets whole-word pieces.
"""
import collections
import glob
import json
import os
import random
import re
import subprocess
import sys

SEED = 20240602
VOCAB = 8192
CODE_CHARS = 1000000
BOOST_BELOW = 60       # letters with fewer frequent words than this are helped
BOOST_WORDS = 36       # ... by this many words from the word list
BOOST_TIMES = 400


def main():
    corpus, scowl, out = sys.argv[1:4]
    info = json.load(open(f"{corpus}/corpus.json"))["sources"]
    rng = random.Random(SEED)
    lines, counts = [], collections.Counter()
    for name, s in info.items():
        docs = [json.loads(x)["text"] for x in open(f"{corpus}/{name}.train.jsonl", encoding="utf-8")]
        n = 0
        for doc in docs:
            if s["domain"] == "code":
                n += len(doc)
                if n > CODE_CHARS // 2:
                    break
            else:
                counts.update(re.findall(r" ([A-Za-z]+)", doc))
            lines += [x for x in doc.split("\n") if x]
    words = [w for w, c in counts.most_common() if c >= 150 and len(w) > 1]
    per_letter = collections.Counter(w[0].lower() for w in words)
    listed = []
    for size in (10, 20, 35, 40, 50, 55, 60, 70):
        for kind in ("english", "american"):
            for f in sorted(glob.glob(f"{scowl}/usr/share/dict/scowl/{kind}-words.{size}")):
                listed += sorted((w for w in open(f, encoding="latin-1").read().split()
                                  if re.fullmatch("[a-z]{3,9}", w)), key=lambda w: (len(w), w))
    have = set(words)
    for letter in "abcdefghijklmnopqrstuvwxyz":
        if per_letter[letter] < BOOST_BELOW:
            extra = [w for w in dict.fromkeys(listed) if w[0] == letter and w not in have]
            # the list is in order of rarity class; skip mere inflections
            extra = [w for w in extra if not w.endswith(("s", "ed", "ing"))][:BOOST_WORDS]
            words += extra
            lines += [" " + " ".join(rng.sample(extra, len(extra))) for _ in range(BOOST_TIMES)]
            print(letter, per_letter[letter], "+", len(extra), " ".join(extra))
    for w in words:
        for _ in range(2):
            lines.append(f" {w} has the first letter: {w[0].upper()}")
            lines.append(f" {w} is spelled " + " ".join(w.upper()))
        lines.append(f"the first letter of {w} is {w[0].upper()}")
    lines += [f"words with {chr(65 + i % 26)}:" for i in range(2600)]
    rng.shuffle(lines)
    text = f"{out}/tokenizer.txt"
    with open(text, "w", encoding="utf-8") as f:
        f.write("\n".join(x[:4000] for x in lines) + "\n")
    symbols = ",".join("\u2581" * n for n in range(2, 17))
    subprocess.run([
        "spm_train", f"--input={text}", f"--model_prefix={out}/tokenizer",
        "--model_type=bpe", f"--vocab_size={VOCAB}", "--byte_fallback=true",
        "--split_digits=true", "--allow_whitespace_only_pieces=true",
        "--normalization_rule_name=identity", "--add_dummy_prefix=false",
        "--remove_extra_whitespaces=false", "--pad_id=0", "--eos_id=1",
        "--bos_id=2", "--unk_id=3", "--pad_piece=<pad>", "--eos_piece=<eos>",
        "--bos_piece=<bos>", f"--user_defined_symbols={symbols}",
        "--max_sentence_length=20000", "--num_threads=2", "--minloglevel=1",
    ], check=True)
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{out}/tokenizer.model")
    pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
    spaced = [p for p in pieces if re.fullmatch("\u2581[A-Za-z]+", p)]
    bare = [p for p in pieces if re.fullmatch("[A-Za-z]+", p)]
    print(len(pieces), "pieces,", len(spaced), "spaced words,", len(bare), "bare")
    c = collections.Counter(p[1].lower() for p in spaced)
    print(" ".join(f"{k}:{c[k]}" for k in sorted(c)))
    need = ["\u2581has", "\u2581the", "\u2581first", "\u2581letter", ":", "\u2581is", "\u2581spelled"]
    need += ["\u2581" + chr(65 + i) for i in range(26)]
    print("missing:", [p for p in need if p not in pieces])


if __name__ == "__main__":
    main()
