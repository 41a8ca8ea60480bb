#!/bin/bash
# Every dataset of a fresh file is in docs/FORMATS.md, and every dataset there is in a fresh file.
# Usage: formats.sh BUILD_ROOT SOURCE_ROOT
set -eu
build=$1 source=$2
command -v h5ls >/dev/null || { echo "h5ls is not there (hdf5-tools)"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
export OMP_WAIT_POLICY=passive

harvest="$build/harvest/sae-harvest -q --model $source/data/tiny-g2 --layer 3 -o acts"
for i in $(seq 40); do
    echo "The words of line $i are plain, and so is the text that holds them all together."
done >prose.txt
printf 'text,label,attribute\n' >set.csv
for i in $(seq 20); do printf 'red number %d,red,%s\nblue number %d,blue,odd\n' "$i" odd "$i"; done >>set.csv
$harvest --text prose.txt --context 32 >/dev/null
$harvest --labels set.csv --context 32 >/dev/null
$harvest --words --max-words 200 >/dev/null
"$build/train/sae-train" -q --acts acts --m 64 --k 4 --batch 64 --heldout-rows 64 --steps 12 \
    --orth progressive --overlap-window 2 --full-checkpoints -o run >/dev/null
"$build/train/sae-train" -q --acts acts --m 64 --k 4 --batch 64 --heldout-rows 64 --steps 12 \
    --orth progressive --overlap-window 2 -o slim >/dev/null

# 40 lines are read whole by the store: the text's last contexts are spliced
"$build/absorb/sae-absorb" -q --epochs 2 run >/dev/null 2>&1
"$build/splice/sae-splice" -q --contexts 2 --context 32 run >/dev/null 2>&1

bad=0
# Paths of one section of the document; <age> stands for any number.
documented() {
    sed -n "/^## $1/,/^## /p" "$source/docs/FORMATS.md" | sed -n 's/^| `\(\/[^`]*\)` |.*/\1/p' | sort
}
optional() {
    sed -n "/^## $1/,/^## /p" "$source/docs/FORMATS.md" | grep ' where ' |
        sed -n 's/^| `\(\/[^`]*\)` |.*/\1/p' | sort
}
present() {
    h5ls -r "$1" | awk '$2 == "Dataset" && $1 != "/record" { print $1 }' |
        sed 's/window_[0-9]*/window_<age>/' | sort -u
}
check() {
    section=$1 file=$2
    present "$file" >in_file
    documented "$section" >in_document
    [ -s in_document ] || { echo "no section '$section'"; bad=1; }
    for path in $(comm -23 in_file in_document); do
        echo "$file holds $path, which FORMATS.md does not list" && bad=1
    done
    comm -13 in_file in_document >absent
    optional "$section" >may_be_absent
    for path in $(comm -23 absent may_be_absent); do
        echo "FORMATS.md lists $path of '$section', which $file does not hold" && bad=1
    done
}
check activations acts/acts_00000.h5
check labels acts/labels_set.h5
check words acts/words.h5
check checkpoint run/ckpt_100.h5
# A checkpoint without what only a resume needs.
present slim/ckpt_100.h5 >in_file
present run/ckpt_100.h5 | grep -v '^/optimizer/\|^/state/window_\|^/state/partners$' | cmp -s - in_file ||
    { echo "slim/ckpt_100.h5 and FORMATS.md differ"; bad=1; }
check truth "$(echo acts/words.truth_*.h5)"
check reference "$(echo acts/reference/*.h5)"
"$build/train/sae-train" -q --acts acts --m 64 --k 4,5 --batch 64 --heldout-rows 64 --steps 2 \
    -o sweep >/dev/null
sed -n 's/^  "\([a-z_]*\)":.*/\1/p' sweep/sweep.json | sort >in_file
sed -n "/^## sweep/,/^## r/p" "$source/docs/FORMATS.md" | sed -n 's/^| `\([a-z_]*\)` |.*/\1/p' |
    sort >in_document
cmp -s in_file in_document || { echo "sweep.json and FORMATS.md differ"; bad=1; }
exit $bad
