"""Spelling text of tiny-g2, generated from the tokenizer's own word pieces.

Every block of lines is built directly from token ids; check() confirms that
the tokenizer gives the same ids for the decoded text.
"""
import re

import numpy as np

FORMS = (("first", 0.50), ("spelled", 0.28), ("list", 0.13), ("letter_of", 0.09))
BARE = 0.25              # share of words without a leading space


class Cycle:
    """Endless draw without replacement: every item equally often."""

    def __init__(self, items, rng):
        self.items, self.rng, self.at, self.order = np.array(items), rng, 0, None

    def take(self, n):
        out = []
        while len(out) < n:
            if self.order is None or self.at == len(self.order):
                self.order, self.at = self.rng.permutation(len(self.items)), 0
            out.append(int(self.items[self.order[self.at]]))
            self.at += 1
        return out


def word_pieces(sp):
    """(spaced, bare): ids of the ASCII-alphabetic pieces that encode to themselves."""
    spaced, bare = [], []
    for i in range(sp.get_piece_size()):
        p = sp.id_to_piece(i)
        m = re.fullmatch("(\u2581?)[A-Za-z]+", p)
        if m and sp.encode(p.replace("\u2581", " ")) == [i]:
            (spaced if m[1] else bare).append(i)
    return spaced, bare


class Speller:
    def __init__(self, sp, seed):
        self.sp = sp
        self.rng = np.random.default_rng(seed)
        self.spaced, self.bare = word_pieces(sp)
        self.cycles = {f: (Cycle(self.spaced, self.rng), Cycle(self.bare, self.rng)) for f, _ in FORMS}
        # list and letter_of use whole words only
        long = [i for i in self.spaced if len(sp.id_to_piece(i)) > 2]
        self.text = {i: sp.id_to_piece(i).lstrip("\u2581") for i in self.spaced + self.bare}
        self.by_letter = {}
        for i in long:
            self.by_letter.setdefault(self.text[i][0].upper(), []).append(i)
        self.cap = {chr(65 + k): sp.piece_to_id("\u2581" + chr(65 + k)) for k in range(26)}
        self.nl = sp.piece_to_id("<0x0A>")
        self.e = {s: sp.encode(s) for s in (" has the first letter:", " is spelled", "words with",
                                            ":", ",", "the first letter of", " is")}

    def words(self, form, n):
        s, b = self.cycles[form]
        k = int(self.rng.binomial(n, BARE))
        w = s.take(n - k) + b.take(k)
        self.rng.shuffle(w)
        return w

    def block(self):
        """One document (without BOS)."""
        rng = self.rng
        form = rng.choice([f for f, _ in FORMS], p=self.p)
        out = []
        if form == "first":
            n = int(rng.integers(8, 13)) if rng.random() < 0.7 else int(rng.integers(2, 8))
            for w in self.words(form, n):
                out += [self.nl, w, *self.e[" has the first letter:"], self.cap[self.text[w][0].upper()]]
        elif form == "spelled":
            for w in self.words(form, int(rng.integers(2, 9))):
                out += [self.nl, w, *self.e[" is spelled"], *(self.cap[c] for c in self.text[w].upper())]
        elif form == "letter_of":
            for w in self.cycles[form][0].take(int(rng.integers(3, 11))):
                out += [self.nl, *self.e["the first letter of"], w, *self.e[" is"],
                        self.cap[self.text[w][0].upper()]]
        elif rng.random() < 0.6:
            for _ in range(int(rng.integers(2, 5))):
                # letters in proportion to the square root of their word counts
                ks = sorted(self.by_letter)
                q = np.sqrt([len(self.by_letter[k]) for k in ks])
                k = ks[int(rng.choice(len(ks), p=q / q.sum()))]
                ws = rng.choice(self.by_letter[k], int(rng.integers(4, 12)), replace=False)
                out += [self.nl, *self.e["words with"], self.cap[k], *self.e[":"]]
                for j, w in enumerate(ws):
                    out += ([*self.e[","]] if j else []) + [int(w)]
        else:
            ws = sorted(self.cycles[form][0].take(int(rng.integers(6, 25))), key=lambda i: self.text[i].lower())
            for w in ws:
                out += [self.nl, w]
        return out if rng.random() < 0.9 else out[1:]

    # blocks differ in length; draw forms so that the shares hold by tokens
    p = np.array([0.50 / 75, 0.28 / 50, 0.13 / 40, 0.09 / 52])
    p /= p.sum()

    def row(self, length, bos):
        """One context: [BOS] block [BOS] block ... cut at length."""
        out = []
        while len(out) < length:
            out += [bos] + self.block()
        return out[:length]

    def check(self, n=300):
        """Share of blocks whose decoded text encodes to the same ids."""
        return sum(self.sp.encode(self.sp.decode(b)) == b for b in (self.block() for _ in range(n))) / n
