#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sae-absorb and sae-probe beside SAEBench's own code, as whole programs: same autoencoder, same
word set, same labelled set, same activations, the same number of threads, one after the other in
one run. Both start from activations (no side runs the language model) and end with the scores;
nothing kept from earlier runs is used. Upstream's time holds Python's start and its imports.

    tests/parity/parity.py --demo demo --parts none     # trains the autoencoders, once
    tests/parity/speed.py --demo demo

Prints two tables: seconds and CPU seconds of each, and the scores of both. Upstream's absorption
takes some minutes."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
here = os.path.dirname(os.path.abspath(__file__))


def run(command, cwd, threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive")
    began = time.time()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, env=env)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    answer = json.loads(out)
    return (time.time() - began, usage.ru_utime + usage.ru_stime,
            answer[0] if isinstance(answer, list) else answer)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--demo", default=os.path.join(root, "demo"))
    p.add_argument("--build", default=os.path.join(root, "build"))
    p.add_argument("--work", default=os.path.join(root, "demo", "parity"))
    p.add_argument("--set", default="category", help="labelled set for probing")
    p.add_argument("--run", default="run_topk")
    p.add_argument("--layer", default="3")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seeds", type=int, default=8, help="of saekit's absorption, for its spread")
    args = p.parse_args()
    build, work = os.path.abspath(args.build), os.path.abspath(args.work)
    ckpt, labels = f"{args.run}/ckpt_100.h5", f"acts/labels_{args.set}.h5"
    upstream = [sys.executable, os.path.join(here, "upstream.py")]
    quiet = ["-q", "--json", "--threads", str(args.threads)]
    absorb = [os.path.join(build, "absorb", "sae-absorb"), *quiet, "--no-keep", "--l1-batch", "4096"]
    probe = [os.path.join(build, "probe", "sae-probe"), *quiet, "--k", "1,2,5", "--seeds", "42",
             "--labels", labels, ckpt]

    print("| program | saekit s | SAEBench s | times | saekit CPU s | SAEBench CPU s | times |")
    print("|---|---|---|---|---|---|---|", flush=True)
    ours_p = run(probe, work, args.threads)
    theirs_p = run([*upstream, "probe", labels, ckpt, args.layer, "42"], work, args.threads)
    ours_a = run([*absorb, "--seed", "1", ckpt], work, args.threads)
    theirs_a = run([*upstream, "absorb", "acts/words.h5", ckpt, args.layer, "1"], work, args.threads)
    for name, a, b in ((f"probing ({args.set})", ours_p, theirs_p), ("absorption", ours_a, theirs_a)):
        print(f"| {name} | {a[0]:.2f} | {b[0]:.1f} | {b[0] / a[0]:.0f} | {a[1]:.2f} | {b[1]:.1f} "
              f"| {b[1] / a[1]:.0f} |", flush=True)

    print(f"\n| score | saekit, {args.seeds} seeds | s.d. | SAEBench, one seed |")
    print("|---|---|---|---|", flush=True)
    runs = [ours_a[2]] + [run([*absorb, "--seed", str(s), ckpt], work, args.threads)[2]
                          for s in range(2, args.seeds + 1)]
    for mean, key in (("mean_full_absorption_score", "full"),
                      ("mean_absorption_fraction_score", "fraction"),
                      ("mean_num_split_features", "split")):
        v = [r["eval_result_metrics"]["version_d"][mean] for r in runs]
        print(f"| {mean} (D) | {statistics.mean(v):.4f} | {statistics.stdev(v):.4f} "
              f"| {theirs_a[2][key]:.4f} |")
    for key in theirs_p[2]:
        mine = ours_p[2]["eval_result_metrics"][key[:3]][key]
        print(f"| {key}, seed 42 | {mine:.4f} | | {theirs_p[2][key]:.4f} |")


if __name__ == "__main__":
    main()
