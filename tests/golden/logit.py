# SPDX-License-Identifier: MIT
"""Recipe of logit.json: scikit-learn's LogisticRegression on small fixed sets.

    python3 tests/golden/logit.py > tests/golden/logit.json

Features are multiples of 1/64, so that text, f32 and f64 hold the same numbers. `w`, `b` are the
optimum (tol 1e-12); `accuracy_default` is that of the solver's default tolerance 1e-4, which
SAEBench uses."""
import json

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score


def case(name, n, width, share, shift, relu, balanced, seed):
    r = np.random.default_rng(seed)
    y = (r.random(n) < share).astype(int)
    x = r.standard_normal((n, width)) * 2 + shift
    x[:, 0] += 2.5 * y
    x[:, 1] -= 1.0 * y
    if relu:
        x = np.maximum(x, 0)
    x = np.round(x * 64) / 64
    half = n // 2
    weight = "balanced" if balanced else None
    exact = LogisticRegression(C=1.0, tol=1e-12, max_iter=100000, class_weight=weight)
    exact.fit(x[:half], y[:half])
    loose = LogisticRegression(C=1.0, max_iter=1000, class_weight=weight).fit(x[:half], y[:half])
    score = exact.decision_function(x[half:])
    return {"name": name, "width": width, "balanced": balanced, "n_train": half,
            "x": [int(v * 64) for v in x.ravel()], "y": y.tolist(),
            "w": exact.coef_[0].tolist(), "b": float(exact.intercept_[0]),
            "accuracy": float(exact.score(x[half:], y[half:])),
            "accuracy_default": float(loose.score(x[half:], y[half:])),
            "f1": float(f1_score(y[half:], score > 0)),
            "auc": float(roc_auc_score(y[half:], score))}


print(json.dumps({"sklearn": sklearn.__version__, "numpy": np.__version__, "cases": [
    case("plain", 200, 2, 0.5, 0.0, False, False, 1),
    case("shifted", 200, 3, 0.5, 30.0, False, False, 2),
    case("rare, balanced", 300, 3, 0.1, 0.0, False, True, 3),
    case("sparse, balanced", 300, 5, 0.1, -2.0, True, True, 4),
    case("wide", 120, 12, 0.5, 1.0, False, False, 5)]}))
