# SPDX-License-Identifier: MIT
"""Golden totals of assignments, by scipy.optimize.linear_sum_assignment (scipy 1.17.1).

    python3 tests/golden/assign.py > tests/golden/assign.txt

A line a case: kind, rows, columns, seed, largest sum. Gains come from splitmix64, so that
test_assign.c makes the same ones: "real" within -1 ... 1; "tied" of four values; "cos" |cos| of rows in
8 numbers; "near" the same, most rows of the second matrix near one of the first.
"""
import numpy as np
from scipy.optimize import linear_sum_assignment

D = 8


def draws(seed, n):
    with np.errstate(over="ignore"):
        z = np.uint64(seed) * np.uint64(1 << 32) + np.arange(1, n + 1, dtype=np.uint64)
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def unit(seed, n):
    x = draws(seed, n * D).reshape(n, D)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def gains(kind, n, m, seed):
    if kind == "real":
        return draws(seed, n * m).reshape(n, m)
    if kind == "tied":
        return np.floor(2 * draws(seed, n * m).reshape(n, m)) / 2
    a, b = unit(2 * seed, n), unit(2 * seed + 1, m)
    if kind == "near":
        for j in range(min(n, m) * 3 // 4):
            b[j] = a[(7 * j) % n] + 0.3 * b[j]
            b[j] /= np.linalg.norm(b[j])
    return np.abs(a @ b.T)


for kind in ("real", "tied", "cos", "near"):
    for n, m in ((1, 1), (1, 5), (2, 2), (5, 5), (7, 20), (20, 7), (30, 30), (60, 60), (61, 100), (300, 300)):
        for seed in (1, 2, 3):
            g = gains(kind, n, m, seed)
            i, j = linear_sum_assignment(g, maximize=True)
            print(kind, n, m, seed, f"{g[i, j].sum():.12g}")
