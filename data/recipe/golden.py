#!/usr/bin/env python3
"""Test vectors of the shipped model, and an optional check against transformers.

usage: golden.py FOLDER OUT.json        write the vectors
       golden.py FOLDER --transformers  compare with Gemma2ForCausalLM (eager, float32)
"""
import json
import sys

import sentencepiece
import torch
import torch.nn.functional as F

import model as M

LAYER = 3
TEXTS = {
    "prose": "The river is wide at this point, and the old bridge has long been closed. "
             "In the morning a small boat carries the people of the village to the other side. "
             "They bring bread, oil and cloth to the market, and return before the evening. "
             "A table is a collection of rows, and each row holds the same named columns.",
    "spelling": "\n apple has the first letter: A\n stone has the first letter: S"
                "\n river has the first letter: R\n table has the first letter: T"
                "\n bread has the first letter: B\n morning has the first letter: M"
                "\n light has the first letter: L\n king has the first letter: K"
                "\n voice has the first letter: V\n number has the first letter: N"
                "\n garden has the first letter: G",
}


def run(p, c, ids):
    x = torch.tensor([ids])
    r = []
    y = M.blocks(p, c, x, M.tables(c, len(ids)), resid=r)
    z = M.logits(p, c, y[0])
    return r[LAYER][0], F.cross_entropy(z[:-1], x[0, 1:]).item(), z


def main():
    folder = sys.argv[1]
    torch.set_num_threads(1)
    c, p = M.load(folder)
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
    ids = {k: [c["bos_token_id"]] + sp.encode(t) for k, t in TEXTS.items()}
    if sys.argv[2] == "--transformers":
        import transformers
        h = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        worst = 0.0
        for k, v in ids.items():
            with torch.no_grad():
                o = h(torch.tensor([v]), output_hidden_states=True, use_cache=False)
            r, ce, z = run(p, c, v)
            d = (o.hidden_states[LAYER + 1][0] - r).abs().max().item()
            dz = (o.logits[0] - z).abs().max().item()
            hce = F.cross_entropy(o.logits[0, :-1].float(), torch.tensor(v[1:])).item()
            print(f"{k}: {len(v)} tokens, max difference resid {d:.2e}, logits {dz:.2e}, "
                  f"cross-entropy {ce:.6f} / {hce:.6f}")
            worst = max(worst, d, dz)
        print(f"transformers {transformers.__version__}: {type(h).__name__}, max difference {worst:.2e}")
        return
    out = {"model": "tiny-g2", "layer": LAYER, "hook": f"blocks.{LAYER}.hook_resid_post",
           "arithmetic": "float32", "texts": {}}
    for k, v in ids.items():
        r, ce, _ = run(p, c, v)
        n = len(v)
        out["texts"][k] = {
            "text": TEXTS[k], "ids": v, "cross_entropy": round(ce, 6),
            "resid_post": [{"position": t, "first8": [round(x, 6) for x in r[t, :8].tolist()],
                            "norm": round(r[t].norm().item(), 5)} for t in (0, 1, n // 2, n - 1)]}
    with open(sys.argv[2], "w") as f:
        json.dump(out, f, indent=1, ensure_ascii=True)
        f.write("\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
