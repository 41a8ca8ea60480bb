#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every family of language models beside Hugging Face transformers: makes the random models of
tests/golden/lm_families.py anew, larger and in f32, runs both sides, and writes a table.

    tests/parity/remake.sh families              # with the packages it needs
    tests/parity/families.py [--build build] [--work FOLDER]

The comparison itself is tests/golden/test_lm_families.c. Exits 1 where a difference exceeds its bound."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(root, "tests", "golden"))
import lm_families  # noqa: E402


def rotary(c):
    """What turns the heads, from config.json as it was written."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    part = rope.get("partial_rotary_factor", c.get("rotary_pct", 1))
    if c["model_type"] == "gpt2":
        return "none: learned positions"
    if c["model_type"].startswith("gemma3"):
        return f"{kind} in full layers, plain in sliding ones"
    words = "plain" if kind == "default" else kind
    if kind == "yarn" and "type" in rope:
        words += ", old spelling"
    return words + (f", {part:.0%} of a head".replace("%", " %") if part != 1 else "")


def window(c):
    if not c.get("sliding_window") or c.get("use_sliding_window") is False:
        return "-"
    return str(c["sliding_window"])


def heads(c):
    all_heads = c.get("num_attention_heads", c.get("n_head"))
    return f"{all_heads} / {c.get('num_key_value_heads', all_heads)}"


def compare(build, folder):
    """name: (stream, logits) of the model held in f32."""
    program = os.path.join(build, "tests", "golden", "golden_lm_families")
    done = subprocess.run([program, folder, "held"], env=dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.findall(r"# (\S+) +held +stream (\S+) logits (\S+)", done.stdout)
    if done.returncode:
        sys.stderr.write(done.stdout)
    return {name: (float(stream), float(logits)) for name, stream, logits in found}, done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(root, "build"))
    parser.add_argument("--work", help="folder of the models, which stay; default: a temporary one")
    args = parser.parse_args()
    z = lm_families.LARGE
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or temporary
        os.makedirs(work, exist_ok=True)
        lm_families.main(work, z)
        found, status = compare(args.build, work)
    print(f"transformers {lm_families.transformers.__version__}, torch "
          f"{lm_families.torch.__version__.split('+')[0]}, eager attention, f32; {lm_families.B} "
          f"texts of {z['T']} tokens, width {z['D']}, {z['layers']} layers.\n")
    print("| `model_type` | model | rotary | window | heads / of keys | streams | logits |")
    print("|---|---|---|---|---|---|---|")
    for name, c in lm_families.configs(z).items():
        stream, logits = found.get(name, (float("nan"),) * 2)
        print(f"| `{c['model_type']}` | {name} | {rotary(c)} | {window(c)} | {heads(c)} | "
              f"{stream:.1e} | {logits:.1e} |")
    return status


if __name__ == "__main__":
    sys.exit(main())
