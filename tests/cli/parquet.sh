#!/bin/sh
# SPDX-License-Identifier: MIT
# Data sets as the Hugging Face Hub has them: Parquet for stores, labelled sets and evaluations.
# Usage: parquet.sh BUILD_ROOT SOURCE_ROOT
set -u
for tool in jq h5dump; do
    command -v $tool >/dev/null || { echo "$tool is not there (jq, hdf5-tools)"; exit 77; }
done
build=$1 root=$2 files=$2/tests/golden/parquet
export LC_ALL=C OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
bad=0
complain() { echo "$*"; bad=1; }
at() { "$build/harvest/sae-harvest" --model "$root/data/tiny-g2" --layer 3 -q "$@"; }
. "$root/tests/cli/refused.sh"
numbers() { h5dump -y -w 1 -d "$2" "$1" | sed -n 's/^ *\([0-9][0-9]*\),*$/\1/p'; }

# --- a folder of files, snappy and zstd, is the text that it holds ---
i=0
while [ $i -lt 200 ]; do
    printf '{"text": "In the year %d the people of the city went down to the river, and there they sat."}\n' $i
    i=$((i + 1))
done >story.jsonl
mkdir story
if ldd "$build/harvest/sae-harvest" | grep -q libsnappy; then
    cp "$files/story_0.parquet" story/train-00000-of-00002.parquet
    cp "$files/story_1.parquet" story/train-00001-of-00002.parquet
    echo 'A data set.' >story/README.md
    at --text story.jsonl --context 64 -o lines --json >lines.json || complain "story.jsonl is refused"
    at --text story --context 64 -o rows --json >rows.json || complain "story is refused"
    for column in /rows /token /document /position; do
        h5diff lines/acts_00000.h5 rows/acts_00000.h5 $column >diff 2>&1 ||
            complain "$column of the store differs: $(cat diff)"
    done
    cmp -s lines.json rows.json || complain "two stores of one text: $(diff lines.json rows.json)"
    refused 1 "has no column 'body'; its columns are: id, text; see --field" \
        at --text "$files/story_0.parquet" --field body -o x
else
    refused 1 'built without it; install libsnappy-dev' at --text "$files/story_0.parquet" -o x
fi

# --- token ids are taken as they are ---
at --text "$files/tokens.parquet" --field input_ids --context 64 --separator none -o ids >out ||
    complain "tokens.parquet is refused"
numbers ids/acts_00000.h5 /token >got
awk 'BEGIN { for (i = 0; i < 100; i++) for (j = 0; j < 20; j++) print 300 + (i * 31 + j * 7) % 200 }' |
    head -n "$(wc -l <got)" >want
[ "$(wc -l <got)" = $((31 * 63)) ] || complain "$(wc -l <got) tokens"
cmp -s got want || complain "the tokens of the store are not those of the file"
printf '{"input_ids": [300, 301, 70000]}\n' >beyond.jsonl
refused 1 "'beyond.jsonl' line 1: token id 70000, but the vocabulary has" \
    at --text beyond.jsonl --field input_ids -o x

# --- a field of a struct; rows without it are left out ---
at --text "$files/plain_zstd_v1.parquet" --field translation.en --context 8 -o field --json 2>/dev/null |
    jq -e '.store.rows_left_out == 2' >/dev/null || complain "translation.en is not read"

# --- labels ---
at --labels "$files/labels.parquet" -o ids/labels >labels.out 2>&1 && grep -q 'labels  *2 ' labels.out ||
    complain "labels: $(cat labels.out)"
mkdir -p ag/data
cp "$files/labels.parquet" ag/data/train-00000-of-00001.parquet
cp "$files/labels.parquet" ag/data/test-00000-of-00001.parquet
echo '# AG News' >ag/README.md
at --labels ag_news=ag --json -o ids/labels >ag.json 2>/dev/null || complain "ag_news is refused"
jq -e '.labels[0] | .classes == 2 and .train == 60 and .test == 60' ag.json >/dev/null ||
    complain "ag_news: $(cat ag.json)"
refused 1 "row 1 has no field 'topic'; it has: text, label; see --label-column" \
    at --labels "$files/labels.parquet" --label-column topic -o x

# --- what cannot be read, in a line each ---
head -c 700 "$files/tokens.parquet" >cut.parquet
refused 1 "'cut.parquet' is Parquet without its end" at --text cut.parquet -o x
mkdir among && cp cut.parquet story.jsonl among
refused 1 "'among/cut.parquet' is Parquet without its end" at --text among -o x
gzip -c "$files/tokens.parquet" >packed.parquet.gz
refused 1 "it is a compressed Parquet file, not text; unpack it" at --text packed.parquet.gz -o x
{ printf PARE; tail -c +5 "$files/two.parquet"; } >secret.parquet
refused 1 "it is an encrypted Parquet file, not text; write it without encryption" at --text secret.parquet -o x
refused 1 "compressed with brotli (codec 4); snappy, gzip, zstd and uncompressed are read" \
    at --text "$files/brotli.parquet" -o x
refused 1 "has no column 'text'; its columns are: title, body; see --field" at --text "$files/two.parquet" -o x

[ $bad = 0 ] && echo "ok: Parquet"
exit $bad
