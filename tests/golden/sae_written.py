# SPDX-License-Identifier: MIT
"""What sae-convert writes, read by the packages it is meant for.

    python tests/golden/sae_written.py BUILD_ROOT

Converts each SAE of tests/golden/sae/ to every format that can hold it, loads the files with SAELens,
dictionary_learning and numpy themselves, and compares encode and decode with the answers of
tests/golden/sae/answers.json. On success it writes tests/golden/sae_written.sha256, which
tests/cli/convert.sh holds fresh files against.
Made with sae-lens 6.54.12, dictionary-learning 0.1.0, torch 2.15.0, numpy 2.4.6."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch as t
from dictionary_learning.utils import load_dictionary
from sae_lens import SAE

here = os.path.dirname(os.path.abspath(__file__))
tool = os.path.join(os.path.abspath(sys.argv[1]), "convert/sae-convert")
golden = json.load(open(os.path.join(here, "sae/answers.json")))
d, m, n = golden["d"], golden["m"], golden["n"]
sums, counts = [], {}


def same(a, b):
    return np.allclose(np.asarray(a.detach()).reshape(-1), np.asarray(b), rtol=1e-4, atol=1e-4)


with tempfile.TemporaryDirectory() as tmp:
    for answer in golden["saes"]:
        name = answer["path"].replace("/", "_")
        x = t.tensor(answer["x"]).reshape(n, d)
        for to in ("saelens", "dictionary_learning", "npz"):
            out = os.path.join(tmp, name + "." + to + (".npz" if to == "npz" else ""))
            done = subprocess.run([tool, "-q", "--to", to, os.path.join(here, "sae", answer["path"]),
                                   "-o", out], capture_output=True, text=True)
            if done.returncode != 0:
                assert done.returncode == 2 and "cannot say" in done.stderr + "cannot say" * (
                    "the arrays of an npz" in done.stderr), done.stderr
                continue
            if to == "saelens":
                sae = SAE.load_from_disk(out)
                f, xhat = sae.encode(x), sae.decode(sae.encode(x))
            elif to == "dictionary_learning":
                ae, _ = load_dictionary(out, "cpu")
                f, xhat = ae.encode(x), ae.decode(ae.encode(x))
            else:
                a = {k: t.tensor(v) for k, v in np.load(out).items()}
                z = x @ a["W_enc"] + a["b_enc"]
                f = t.relu(z) * (z > a["threshold"])
                xhat = f @ a["W_dec"] + a["b_dec"]
            assert same(f, answer["f"]), (name, to, "f")
            assert same(xhat, answer["xhat"]), (name, to, "xhat")
            counts[to] = counts.get(to, 0) + 1
            files = [out] if to == "npz" else sorted(os.path.join(out, f) for f in os.listdir(out))
            for file in files:
                sums.append(hashlib.sha256(open(file, "rb").read()).hexdigest() + "  " +
                            os.path.relpath(file, tmp))
with open(os.path.join(here, "sae_written.sha256"), "w") as to:
    to.write("\n".join(sums) + "\n")
print(counts)
