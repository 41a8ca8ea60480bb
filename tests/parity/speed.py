#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sae-absorb and sae-probe beside SAEBench's own code, as whole programs: same autoencoder, same
word set, same labelled sets, same activations, the same number of threads. Both start from
activations (no side runs the language model) and end with the scores; nothing kept from earlier
runs is used. Each program of saekit runs before and after SAEBench's, so that a change of load
shows; its seconds are the mean of the two.

    tests/parity/parity.py --parts none          # trains the autoencoders, once
    tests/parity/speed.py

SAEBench's seconds are given with and without the start of Python and its imports. Its absorption
takes some minutes. Prints the seconds, then the scores of both."""
import argparse
import json
import os
import subprocess
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
here = os.path.dirname(os.path.abspath(__file__))


def run(command, args):
    """Seconds, CPU seconds, answer."""
    began = time.time()
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), OMP_WAIT_POLICY="passive",
               SPEED_BEGAN=repr(began))
    child = subprocess.Popen(command, cwd=args.work, stdout=subprocess.PIPE, env=env)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    answer = json.loads(out)
    return (time.time() - began, usage.ru_utime + usage.ru_stime,
            answer[0] if isinstance(answer, list) else answer)


def compare(name, ours, theirs, args):
    first, other, second = run(ours, args), run(theirs, args), run(ours, args)
    wall, cpu = ((first[i] + second[i]) / 2 for i in (0, 1))
    start = other[2]["start"]
    print(f"| {name} | {wall:.2f} | {other[0]:.1f} | {other[0] / wall:.0f} "
          f"| {(other[0] - start['wall']) / wall:.0f} | {cpu:.2f} | {other[1]:.1f} "
          f"| {other[1] / cpu:.0f} | {(other[1] - start['cpu']) / cpu:.0f} "
          f"| {', '.join(f'{x:.1f}' for x in os.getloadavg()[:2])} |", flush=True)
    return second[2]["eval_result_metrics"], other[2]["scores"]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(root, "build"))
    p.add_argument("--work", default=os.path.join(root, "build", "parity"))
    p.add_argument("--sets", default="category,source", help="labelled sets for probing")
    p.add_argument("--run", default="run_topk")
    p.add_argument("--layer", default="3")
    p.add_argument("--parts", default="absorption,probing,full", help="full: on all features")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    ckpt = f"{args.run}/ckpt_100.h5"
    labels = ",".join(f"acts/labels_{s}.h5" for s in args.sets.split(","))
    upstream = [sys.executable, os.path.join(here, "upstream.py")]

    def saekit(name, *options):
        return [os.path.join(os.path.abspath(args.build), name[4:], name), "-q", "--json",
                "--threads", str(args.threads), *options, ckpt]

    print("| evaluation | saekit s | SAEBench s | times | without its start | saekit CPU s "
          "| SAEBench CPU s | times | without its start | load |\n|" + "---|" * 10, flush=True)
    scores = {}
    if "absorption" in args.parts:
        ours, theirs = compare(
            "absorption", saekit("sae-absorb", "--no-keep", "--l1-batch", "4096", "--seed", "1"),
            [*upstream, "absorb", "acts/words.h5", ckpt, args.layer, "1"], args)
        for key, short in (("mean_full_absorption_score", "full"),
                           ("mean_absorption_fraction_score", "fraction"),
                           ("mean_num_split_features", "split")):
            scores[f"{key} (D)"] = (ours["version_d"][key], theirs[short])
    for part, name, what, flag in (("probing", "probing, k = 1, 2, 5", "probe-k", "--no-full"),
                                   ("full", "probing, with all features", "probe", "--full")):
        if part not in args.parts:
            continue
        ours, theirs = compare(
            name, saekit("sae-probe", "--k", "1,2,5", "--seeds", "42", "--labels", labels, flag),
            [*upstream, what, labels, ckpt, args.layer, "42"], args)
        scores |= {key: (ours[key[:3]][key], theirs[key]) for key in theirs}

    print("\n| score, one draw of each side's own | saekit | SAEBench |\n|---|---|---|")
    for key, (a, b) in scores.items():
        print(f"| {key} | {a:.4f} | {b:.4f} |")


if __name__ == "__main__":
    main()
