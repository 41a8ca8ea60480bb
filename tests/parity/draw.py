# SPDX-License-Identifier: MIT
"""sae-probe's draw of a task's texts, from its description (docs/math-probing.md, section 2): so
that SAEBench can be given the same texts. Texts are (class, place among the class's texts of the
split). For classes of equal size, smaller than what is asked for, as in the demo's sets."""

STREAM = 5  # SAE_RNG_PROBE
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox(seed, stream, index):
    """The index-th 64-bit number of a stream: Philox4x32-10, two numbers a block."""
    block = index // 2
    c = [block & M32, block >> 32, stream & M32, stream >> 32]
    k = [seed & M32, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & M32, p >> 32 ^ c[3] ^ k[1], p & M32]
        k = [k[0] + 0x9E3779B9 & M32, k[1] + 0xBB67AE85 & M32]
    half = (index & 1) * 2
    return c[half + 1] << 32 | c[half]


class Stream:
    def __init__(self, seed, counter):
        self.seed, self.counter = seed, counter

    def below(self, n):
        while True:
            v = philox(self.seed, STREAM, self.counter)
            self.counter += 1
            if v < M64 - M64 % n:
                return v % n

    def draw(self, a, n):
        """n of a's items without replacement."""
        for i in range(min(n, len(a) - 1)):
            j = i + self.below(len(a) - i)
            a[i], a[j] = a[j], a[i]
        return a[:n]


def negatives(n_classes, n, c, split, seed):
    """Negatives of class c against the others, n texts in every class: [(class, place)]."""
    stream = Stream(seed, (c * 2 + split) << 32)
    each = -(-n // (n_classes - 1))
    pool = []
    for i in range(n_classes):
        if i != c:
            pool += [(i, t) for t in stream.draw(list(range(n)), each)]
    return stream.draw(pool, n)
