#!/bin/sh
# SPDX-License-Identifier: MIT
# sae-harvest as a person types it: the three products, being stopped, and being asked wrongly.
# usage: harvest.sh BUILD SOURCE
set -u
LC_ALL=C
export LC_ALL OMP_WAIT_POLICY=passive
harvest=$1/harvest/sae-harvest
model=$2/data/tiny-g2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

wrong() {
    echo "not ok: $*"
    [ -f out ] && sed 's/^/  out: /' out
    [ -f err ] && sed 's/^/  err: /' err
    failed=1
}
# expect CODE "words on stderr" command...
expect() {
    code=$1
    words=$2
    shift 2
    "$@" >out 2>err
    got=$?
    [ "$got" = "$code" ] || wrong "exit $got, expected $code: $*"
    [ -z "$words" ] || grep -qF -- "$words" err || wrong "stderr lacks '$words': $*"
}
shows() {
    grep -qE -- "$1" out || wrong "stdout lacks '$1'"
}
at() { "$harvest" --model "$model" --layer 3 -q "$@"; }

# --- what the model is ---
expect 0 "" "$harvest" --model "$model" --describe
shows 'language model tiny-g2: gemma2'
shows 'layers +6, 0 to 5; the middle one is 2'
expect 0 "" "$harvest" --model "$model" --describe --json
shows '"middle_layer": 2,'
shows '"width": 128,'
expect 2 "which layer? '$model' has layers 0 to 5: give --layer 2 for the middle one" \
    "$harvest" --model "$model" --words
expect 2 'give --model DIR' "$harvest" --describe
expect 2 '--words has no meaning with --describe' "$harvest" --model "$model" --describe --words
expect 2 "'c.txt' has no meaning with --describe" "$harvest" --model "$model" --describe c.txt
[ ! -e acts ] || wrong "--describe left a folder behind"

# Texts: a folder of JSON lines (packed), plain text, and a file in another folder.
mkdir -p texts/sub
i=0
while [ $i -lt 400 ]; do
    i=$((i + 1))
    printf '{"text": "In the year %d the people of the city went down to the river, and there they sat. The verb number %d is a word of the language.", "id": %d}\n' $i $i $i
done >texts/a.jsonl
gzip -9 texts/a.jsonl
cat >texts/sub/b.txt <<'END'
A plain text of its own.

With a second paragraph, and Überraschung in it.
END
cp texts/sub/b.txt c.txt

# --- the store ---
expect 0 "" at --text texts c.txt --context 64 --shard-rows 2000 -o acts
shows 'rows +1[0-9]{4} of width 128, bf16, in [0-9]+ shards'
shows 'documents +400, ' # the last two end in a context that is not full, which is left out
expect 0 "" at --text texts c.txt --context 64 --shard-rows 2000 -o acts # there already
shows 'complete before'
expect 2 'options.context is "64" there, "32" here' \
    at --text texts c.txt --context 32 --shard-rows 2000 -o acts
expect 2 'a folder holds one hook of one layer of one model' \
    "$harvest" --model "$model" --layer 2 --words -o acts
expect 0 "" at --text texts c.txt --context 64 --shard-rows 2000 -o other
cmp acts/acts.json other/acts.json || wrong "two equal runs differ"
expect 0 "the text ended after" at --text c.txt --split blank --context 8 --tokens 1e3 -o small
shows 'documents +2, '

# JSON lines are told by content, whatever the name.
zcat texts/a.jsonl.gz >rows.jsonl
cp rows.jsonl c4.json
cp rows.jsonl dump
cp texts/a.jsonl.gz c4-train.00000-of-01024.json.gz
expect 0 "" at --text rows.jsonl --context 64 --tokens 2000 -o named
for file in c4.json dump c4-train.00000-of-01024.json.gz; do
    expect 0 "" at --text $file --context 64 --tokens 2000 -o "by_content"
    shows 'text +1 file: 1 JSON lines'
    # the id of a shard is of its rows, the record beside them holds the file's hash
    grep -o '"documents": [0-9]*' named/acts.json >want
    grep -o '"documents": [0-9]*' by_content/acts.json | cmp - want || wrong "$file: other documents"
    rm -r by_content
done

# A row that cannot be used is left out and counted; what nobody reads may be odd.
{
    head -n 150 rows.jsonl
    echo '{"text": "a hash follows", "id": 17000000000000000000, "score": NaN}'
    echo '{"text": null}'
    echo '{"text": "half of a pair \ud83d here"}'
    echo '{"text": "never closed}'
    tail -n 150 rows.jsonl
} >odd.jsonl
expect 0 "'odd.jsonl' line 152: field 'text' is null" at --text odd.jsonl --context 64 -o odd
shows 'left out +2 rows that could not be used, 0 empty documents; 1 sequences replaced'
grep -q '"rows_left_out": 2' odd/acts.json || wrong "acts.json does not count rows that were left out"
grep -q '"replaced": 1' odd/acts.json || wrong "acts.json does not count what was replaced"

# What is no text is left out of folders and counted; named, it is refused.
mkdir mixed
cp rows.jsonl mixed/data.json
cp c.txt mixed/notes.txt
printf '%%PDF-1.4 and so on' >mixed/paper.pdf
printf '\211PNG\r\n\032\n\0\0' >mixed/figure.png
echo '# About' >mixed/README.md
expect 0 "" at --text mixed --context 64 --tokens 2000 -o mixed_acts
shows 'text +5 files: 1 JSON lines, 1 plain text; 3 left out \(1 documentation, 1 PNG, 1 PDF\)'
expect 1 "cannot read 'mixd': No such file" at --text mixd -o unmade
[ -e unmade ] && wrong "a misspelt text left a folder behind"
expect 1 "cannot use 'mixed/paper.pdf': it is a PDF" at --text mixed/data.json,mixed/paper.pdf -o x
[ -e x ] && wrong "a harvest that failed left an empty folder behind"
expect 0 "" at --text mixed --glob '*.txt' --context 8 -o chosen
shows 'text +1 file: 1 plain text'
printf '\320\363\361\361\352\350\351 \362\345\352\361\362\n' >cyrillic.txt
expect 1 "it is not UTF-8" at --text cyrillic.txt --context 8 -o x
cat c.txt c.txt c.txt >latin.txt
printf 'un caf\351 noir\n' >>latin.txt
expect 0 "not everything is UTF-8" at --text latin.txt --context 8 -o latin_acts
grep -q '"replaced": 1' latin_acts/acts.json || wrong "replaced bytes of plain text are not counted"

# Truths are labels.
{
    i=0
    while [ $i -lt 30 ]; do
        i=$((i + 1))
        echo "{\"text\": \"Number $i is even.\", \"label\": true}"
        echo "{\"text\": \"Number $i is odd.\", \"label\": false}"
    done
} | gzip >truths.json.gz

# Stopped after the first shard, then continued: the same bytes.
"$harvest" --model "$model" --layer 3 --text texts c.txt --context 64 --shard-rows 2000 --force \
    -o broken >out 2>err &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -f broken/acts_00001.h5 ]; do sleep 0.02; done
kill -INT $pid 2>/dev/null
wait $pid
code=$?
case $code in
130) grep -q 'the same command without --force continues' err || wrong "a stopped pass does not say how to go on" ;;
0) ;; # it was faster than we were
*) wrong "exit $code of a stopped pass" ;;
esac
expect 0 "" at --text texts c.txt --context 64 --shard-rows 2000 -o broken
for file in acts/acts*; do
    cmp "$file" "broken/$(basename "$file")" || wrong "a continued pass differs in $file"
done

# A text that was changed behind the first shards: those stay, and the store is that of the text now.
mkdir edited
cp rows.jsonl edited/a.jsonl
expect 0 "" at --text edited --context 64 --shard-rows 2000 -o part
rm part/acts.json
sed '300s/the people/some people/' rows.jsonl >edited/a.jsonl
expect 0 "" at --text edited --context 64 --shard-rows 2000 -o whole
expect 0 "come before the change and are kept" at --text edited --context 64 --shard-rows 2000 -o part
grep -qE '; [1-9][0-9]* whole shards' err || wrong "no shard is kept: $(cat err)"
for file in whole/acts*; do
    cmp "$file" "part/$(basename "$file")" || wrong "shards of an earlier text: $file differs"
done
[ "$(ls whole)" = "$(ls part)" ] || wrong "shards of an earlier text stay"

# A shard that is missing or damaged is made again, and those after it, to the same bytes.
for loss in "rm part/acts_00001.h5" "truncate -s 9000 part/acts_00001.h5"; do
    rm part/acts.json
    $loss
    expect 0 "made again" at --text edited --context 64 --shard-rows 2000 -o part
    for file in whole/acts_*; do
        cmp "$file" "part/$(basename "$file")" || wrong "after $loss: $file differs"
    done
done
rm whole/acts.json part/acts.json
sed '1s/the people/some people/' rows.jsonl >edited/a.jsonl
expect 0 "0 whole shards (0 rows) come before" at --text edited --context 64 --shard-rows 2000 -o part

# One harvest at a time writes into a folder.
"$harvest" --model "$model" --layer 3 --text texts --context 64 --shard-rows 500 -q -o crowded >out 2>err &
pid=$!
while kill -0 $pid 2>/dev/null && ! ls -a crowded 2>/dev/null | grep -q '^\.writer'; do sleep 0.02; done
if kill -STOP $pid 2>/dev/null; then
    "$harvest" --model "$model" --layer 2 --text texts --context 64 -q -o crowded >out 2>err2
    code=$?
    kill -CONT $pid
    wait $pid || wrong "a second harvest disturbed the first"
    # the first may have ended between the two looks: then the folder is of another layer
    [ $code = 2 ] || wrong "exit $code of a second harvest into one folder"
    grep -qE 'is writing there|holds one hook' err2 || wrong "a second harvest says $(cat err2)"
fi

# --- labelled sets ---
{
    echo "text,label"
    i=0
    while [ $i -lt 30 ]; do
        i=$((i + 1))
        echo "\"A dog, number $i, barked.\",dog"
        echo "The cat of house $i slept.,cat"
    done
    echo "One fish only.,fish"
} >pets.csv
expect 0 "class 'fish' is left out: 1 texts, at least 20 are needed" "$harvest" --like acts --labels pets.csv --context 64 -q
shows 'pets +2 +48 +12 '
[ -f acts/labels_pets.h5 ] || wrong "no labels_pets.h5"
expect 0 "" "$harvest" --like acts --labels pets.csv --context 64 --json -q
shows '"found": true'
expect 0 "" "$harvest" --like acts --labels truths.json.gz --context 64 -q
shows 'truths +2 +48 +12 '
{
    echo 'text,label,split'
    i=0
    while [ $i -lt 60 ]; do
        i=$((i + 1))
        part=$([ $i -le 40 ] && echo train || echo test)
        echo "Number $i is here.,here,$part"
        echo "Number $i is there.,there,train"
        echo "Number $i is nowhere.,nowhere,$part"
    done
} >halves.csv
expect 0 "class 'there' is left out: the split gives it 60 texts to train on and 0 to test on, at least 16 and 4" \
    "$harvest" --like acts --labels halves.csv --context 64 -q
# Columns that were asked for by name must be there; a set by another split would be another set.
expect 1 "'halves.csv' has no column 'fold'; it has: text, label, split" \
    "$harvest" --like acts --labels halves.csv --split-column fold --force -q
expect 1 "'pets.csv' has no column 'tone'; it has: text, label" \
    "$harvest" --like acts --labels pets.csv --attribute-column tone --force -q
printf '{"text": "A dog.", "label": "dog"}\n' >one.jsonl
expect 1 "'one.jsonl' has no column 'fold'; it has: text, label" \
    "$harvest" --like acts --labels one.jsonl --split-column fold -q
expect 2 'would both become' "$harvest" --like acts --labels pets.csv,texts/pets.csv

# One of SAEBench's sets by name; the folder's files give the split, labels become names.
mkdir news
for part in train test; do
    i=0
    while [ $i -lt 20 ]; do
        i=$((i + 1))
        echo "{\"text\":\"The match number $i was won.\",\"label\":1}"
        echo "{\"text\":\"The bank bought $i shares.\",\"label\":2}"
    done >news/$part.jsonl
done
expect 0 "no text of class 0 (World)" "$harvest" --like acts --labels ag_news=news --context 64 -q
shows 'ag_news +2 +40 +40 '
expect 0 "" "$harvest" --like acts --labels ag_news=news --context 64 --json -q
shows '"found": true'
expect 1 "it has the columns text, label; expected hard_text" \
    "$harvest" --like acts --labels bias_in_bios_class_set1=pets.csv -q
expect 2 "no data set 'agnews'; known are" "$harvest" --like acts --labels agnews=news -q

# --- words ---
expect 0 "" "$harvest" --like acts --words --max-words 100 -q
shows 'words +100 with and without a leading space: 80 train, 20 test'
shows 'left out +[0-9]+ of [0-9]+ candidates'

# What sae-absorb keeps beside the words is no bar.
"$1/tests/unit/fixtures/make_ckpt" acts/words.truth_01234567.h5 || wrong "no file like sae-absorb's"
expect 0 "" "$harvest" --like acts --words --max-words 100 -q
rm acts/words.truth_01234567.h5

# --like may name the index or a shard, and then too the set lies beside it.
rm acts/words.h5
expect 0 "" "$harvest" --like acts/acts.json --words --max-words 100 -q
[ -f acts/words.h5 ] || wrong "no words.h5 beside acts.json"
expect 0 "" "$harvest" --like acts/acts_00000.h5 --words --max-words 100 -q
shows 'made before'

cp -r "$model" elsewhere
expect 0 "" "$harvest" --model elsewhere --layer 3 -q --text texts --tokens 200 -o moved
mv elsewhere other_place
expect 1 "is no longer at 'elsewhere'; name its folder with --model" "$harvest" --like moved --words
expect 0 "" "$harvest" --like moved --model other_place --words --max-words 80 -q

# --- asked wrongly ---
expect 2 'nothing to harvest' at -o x
# Options of another product are refused by name.
expect 2 '--tokens has no meaning without --text; leave it out' at --labels x.csv --tokens 1K -o x
expect 2 '--label-column has no meaning without --labels' at --text texts --label-column y -o x
expect 2 '--spaced-only has no meaning without --words' at --text texts --spaced-only -o x
expect 2 '--seed has no meaning without --labels or --words' at --text texts --seed 1 -o x
expect 2 'which model' "$harvest" --text c.txt
expect 2 'which layer' "$harvest" --model "$model" --text c.txt
expect 2 "layer 17: 'tiny-g2' has layers 0 to 5" "$harvest" --model "$model" --layer 17 --text c.txt
expect 1 "cannot read 'nowhere.txt'" at --text nowhere.txt
expect 2 'less than one context of 128' at --text c.txt -o short
expect 2 'takes at most 256' at --text texts --context 512 -o long
echo '{"title": "x"}' >no_text.jsonl
expect 1 "line 1 has no field 'text'; it has: title" at --text no_text.jsonl -o x
expect 1 "no column 'text'" at --labels "$2/tests/cli/meson.build" -o x
expect 2 '--context 1: must be at least 2' at --text c.txt --context 1 -o x
: >file
expect 1 "cannot make folder 'file': a file of that name is there" at --text texts -o file/acts
# where there is a device, it makes a store; elsewhere a line says what is missing
err=$(at --text c.txt --context 8 --backend cuda -o there 2>&1 >/dev/null) ||
    case "$err" in *"backend 'cuda'"*) ;; *) wrong "--backend cuda: says '$err'" ;; esac
expect 2 '--matmul tf32 needs --backend cuda' at --text c.txt --backend cpu --matmul tf32 -o x
# Factors in bf16 on the CPU are another kind of numerics: the record has it, and f32 does not go on with it.
expect 0 "" at --text texts --tokens 96 --context 16 --backend cpu --matmul bf16 -o rounded
for file in rounded/acts*; do
    grep -qa 'cpu bf16' "$file" || wrong "$file does not name its numerics"
done
expect 2 "made differently: numerics" at --text texts --tokens 96 --context 16 --backend cpu -o rounded
# What --force is to replace stays until there is something to replace it with.
cp -r acts kept
expect 1 "line 1 has no field 'text'" at --text no_text.jsonl --force -o kept
expect 2 'takes at most 256' at --text texts --context 512 --force -o kept
expect 2 'less than one context' at --text c.txt --force -o kept
for file in acts/acts*; do
    cmp "$file" "kept/$(basename "$file")" || wrong "a refused --force changed $file"
done
expect 0 "" at --text texts --context 32 --force -o kept
[ -e acts/acts_00001.h5 ] && [ ! -e kept/acts_00001.h5 ] || wrong "--force left shards of the store before"
expect 2 "is 'more.csv' a text or a labelled set?" \
    "$harvest" --like acts --labels pets.csv more.csv
: | expect 1 'not a regular file' at --text /dev/stdin -o x
mkdir latin
cp c.txt "$(printf 'latin/caf\351.txt')"
expect 2 'is not valid UTF-8' at --text latin -o x
cp -r acts locked
mkdir locked/acts_00099.h5 # what --force cannot remove, it says
expect 1 "cannot remove 'locked/acts_00099.h5'" at --text texts c.txt --context 32 --force -o locked
expect 1 "acts_00000.h5': File too large" sh -c 'trap "" XFSZ; ulimit -f 100; "$@"' - \
    "$harvest" --model "$model" --layer 3 -q --text texts --shard-rows 2000 -o large
[ ! -e short/acts.json ] || wrong "a refused pass left acts.json"

[ $failed = 0 ] && echo "ok: sae-harvest"
exit $failed
