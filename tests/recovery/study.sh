#!/bin/bash
# What each trainer finds of a known dictionary: mean and standard error over seeds, as the table of
# docs/math-training.md. Usage: study.sh BUILD_ROOT [SEEDS 3] [STEPS 12000] [TRAINER ...]
set -eu
program=$1/tests/recovery/study
seeds=${2:-3} steps=${3:-12000}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- $("$program" --names)
for name; do
    for seed in $(seq "$seeds"); do echo "$name $seed $steps"; done
done | xargs -P "${JOBS:-2}" -L 1 nice "$program" | awk -F'\t' -v order="$*" '
    { n[$1]++
      for (c = 3; c <= 9; c++) { sum[$1, c] += $c; square[$1, c] += $c * $c } }
    function cell(name, c, digits,    mean, error) {
        mean = sum[name, c] / n[name]
        error = n[name] > 1 ? square[name, c] / n[name] - mean * mean : 0
        error = error > 0 ? sqrt(error / (n[name] - 1)) : 0
        return sprintf("%.*f ± %.*f", digits, mean, digits, error)
    }
    END {
        print "| trainer | MCC | uniqueness | F1 | dead | L0 | explained variance |"
        print "|---|---|---|---|---|---|---|"
        count = split(order, names, " ")
        for (i = 1; i <= count; i++) {
            name = names[i]
            print "| " name " | " cell(name, 3, 3) " | " cell(name, 4, 3) " | " cell(name, 5, 3) \
                " | " cell(name, 6, 1) " | " cell(name, 7, 2) " | " cell(name, 8, 3) " |"
            seconds += sum[name, 9]
        }
        printf "CPU seconds in all: %.0f\n", seconds >"/dev/stderr"
    }'
