#!/bin/sh
# sae-report as a person types it, on three fabricated runs.
# Usage: report.sh SAE_REPORT REPORT_MAKE SOURCE_ROOT
set -u
report=$(realpath "$1") make=$(realpath "$2") root=$(realpath "$3")
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$make" "$dir" || exit 1
cd "$dir" || exit 1

# Without operands: every run here; charts beside.
"$report" >all.txt 2>err.txt || complain "plain call failed: $(cat err.txt)"
[ ! -s err.txt ] || complain "talks on stderr: $(cat err.txt)"
for line in '^Sparse autoencoder runs: run_1, run_2, run_3$' '^In short$' '^What was run$' \
    '^Settings$' '^Held-out reconstruction$' '^Separation of features$' '^Sparse probing$' \
    '^Absorption (first letters)$' '^What the language model loses (core)$' '^Score targets$' \
    '^Differences from run_1$' '^Over seeds$' '^Charts$' \
    'published: gemma-2-2b layer 12; not comparable in absolute terms to this model' \
    '^  run_1 +100 %  0.0100 missed +not measured +0.7000 missed$' \
    '^  \[topk\] +publ.  0.0296 missed +0.0637 missed +0.7449 met$' \
    '^  100 %  run_1 +10.000 +0.9000 +4.0 +0.9000 +0.8750 +2$'; do
    grep -Eq "$(printf '%s' "$line" | sed 's/(first letters)/\\(first letters\\)/; s/(core)/\\(core\\)/')" all.txt ||
        complain "the notes lack: $line"
done
awk 'length > 110 { print "too wide: " $0; bad = 1 } END { exit bad }' all.txt || bad=1
for chart in separation reconstruction trade_off cosines loss_parts schedules monitors pairs_run_2 \
    probing absorption core; do
    grep -q "^  report_charts/$chart.svg$" all.txt || complain "the notes do not list $chart"
    [ -s "report_charts/$chart.gp" ] || complain "no script of $chart"
    if command -v gnuplot >/dev/null; then
        grep -q '</svg>' "report_charts/$chart.svg" || complain "no picture of $chart"
    fi
done

# The same by name; equal calls give equal bytes; an operand may end in a slash.
"$report" run_1 run_2/ run_3 | cmp -s - all.txt || complain "named runs differ from found runs"
"$report" run_1 | grep -q 'Differences' && complain "differences of one run"
# an axis of steps has few marks: their numbers ran together
grep -Eq '^set xtics autofreq [0-9.]+$' report_charts/loss_parts.gp || complain "step axes are crowded"
"$report" --charts pictures run_1 >/dev/null
[ -s pictures/separation.gp ] || complain "--charts is not heeded"
rm -rf report_charts
"$report" --no-draw --against run_3 >against.txt || complain "--against failed"
[ ! -e report_charts ] || complain "--no-draw draws"
grep -q '^Differences from run_3$' against.txt || complain "--against is not heeded"

# From inside a run, and for one checkpoint.
(cd run_2 && "$report" --no-draw) | grep -q '^Sparse autoencoder runs: run_2$' ||
    complain "inside a run it does not report that run"
"$report" --no-draw run_2/ckpt_50.h5 >one.txt || complain "one checkpoint failed"
grep -q '^  50 %' one.txt || complain "one checkpoint: no 50 %"
grep -q '^  100 %' one.txt && complain "one checkpoint: other phases too"

# --json: valid, with the numbers of the runs.
"$report" --json --no-draw >all.json || complain "--json failed"
grep -q '"heldout_ev": 0.9' all.json || complain "--json lacks numbers"
grep -q '"verdict": "missed"' all.json || complain "--json lacks verdicts"

# Baselines from elsewhere, from nowhere.
mkdir theirs && cp "$root/data/baselines/topk.json" theirs/
"$report" --no-draw --baselines theirs run_1 | grep -q '\[standard\]' && complain "--baselines is not heeded"
"$report" --no-draw --baselines nowhere run_1 >none.txt 2>err.txt || complain "no baselines: failed"
grep -q nowhere err.txt || complain "missing baselines are not named"

# What is missing comes with its command; a damaged file is named, and the exit status stays 0.
rm run_2/ckpt_50.probe.json run_3/*.absorb.json
echo '{' >run_1/ckpt_25.core.json
"$report" --no-draw >gaps.txt 2>err.txt || complain "gaps make it fail"
grep -q '^      sae-probe --k 1,2,5 run_2/ckpt_50.h5$' gaps.txt || complain "no command for a probe"
grep -q '^      sae-absorb --all run_3$' gaps.txt || complain "no command for a whole run"
grep -q "run_1/ckpt_25.core.json" gaps.txt || complain "damage is not in the notes"
grep -q "warning.*run_1/ckpt_25.core.json" err.txt || complain "damage is not on stderr"

# Nothing to report is an error: of the runs (1), of the question (2).
"$report" --no-draw nothing >/dev/null 2>err.txt
[ $? -eq 1 ] || complain "a missing run should give exit 1"
grep -q "nothing" err.txt || complain "the missing run is not named"
mkdir empty && (cd empty && "$report" >/dev/null 2>&1)
[ $? -eq 2 ] || complain "no run at all should give exit 2"
"$report" --no-draw --against run_9 >/dev/null 2>&1
[ $? -eq 2 ] || complain "a wrong --against should give exit 2"
exit $bad
