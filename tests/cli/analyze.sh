#!/bin/sh
# sae-analyze as a person types it: targets, tables, results, charts, options, refusals.
# Usage: analyze.sh SAE_ANALYZE MAKE_CKPT
set -u
analyze=$(realpath "$1") make=$(realpath "$2")
bad=0
complain() { echo "$*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
mkdir run_1 run_2 sets
for p in 00:0 50:500 100:1000; do
    "$make" run_2/ckpt_${p%:*}.h5 step=${p#*:} orth=progressive || exit 1
done
"$make" run_1/ckpt_100.h5 step=1000 seed=2 || exit 1

# One file: table, result, charts
"$analyze" run_2/ckpt_50.h5 >out.txt 2>err.txt || complain "one file: failed: $(cat err.txt)"
for part in "run_2/ckpt_50.h5: topk, d 32, m 128, k 8" "Directions:" "Spectrum:" "Usage:" \
    "Overlap:" "Competition:" "Closest pairs:" "this run's" "reference"; do
    grep -qF "$part" out.txt || complain "the table lacks '$part'"
done
awk 'length > 130 { exit 1 }' out.txt || complain "the table is too wide"
grep -q 'nan\|inf' out.txt && complain "the table shows nan or inf"
[ -f run_2/ckpt_50.analyze.json ] || complain "no result file"
[ -f run_2/ckpt_100.analyze.json ] && complain "another checkpoint was measured"
for what in cosine nearest spectrum similarity pairs density overlap joint; do
    [ -s run_2/charts/ckpt_50.$what.gp ] || complain "no chart $what"
    if command -v gnuplot >/dev/null; then
        grep -q '</svg>' run_2/charts/ckpt_50.$what.svg || complain "chart $what is not whole"
    fi
done

# A run without the orthogonality term says so, and is shown under the reference rule.
"$analyze" --no-charts run_1 >out.txt 2>/dev/null || complain "run folder: failed"
grep -q "without the orthogonality term" out.txt || complain "orth none is not told"
grep -q "this run's" out.txt && complain "a rule is made up"
[ -d run_1/charts ] && complain "--no-charts drew charts"

# Nothing named: the run one stands in, else every run beside.
(cd run_2 && "$analyze" -q --no-charts >../out.txt) || complain "inside the run: failed"
grep -q '^ckpt_100.h5' out.txt || complain "inside the run: not the newest"
"$analyze" -q --no-charts --full >out.txt || complain "beside the runs: failed"
grep -q '^run_1/ckpt_100.h5' out.txt || complain "beside the runs: no run_1"
grep -q '^side by side  *run_1/ckpt_100  *run_2/ckpt_100$' out.txt || complain "no comparison"
"$analyze" -q --no-charts --full --all run_2 >out.txt || complain "--all failed"
[ "$(grep -c '^run_2/ckpt_' out.txt)" = 3 ] || complain "--all is not all"
mkdir nine && for i in 1 2 3 4 5 6 7 8 9; do cp run_1/ckpt_100.h5 nine/$i.h5; done
"$analyze" -q --no-charts --full --top 0 nine/*.h5 >out.txt || complain "nine files failed"
[ "$(grep -c '^side by side' out.txt)" = 2 ] || complain "nine columns are not two tables"

# Of several a row each, and where the rest is.
"$analyze" -q --no-charts --all run_1 run_2 >out.txt || complain "the brief form failed"
[ "$(grep -c '^run_[12]/ckpt_' out.txt)" = "$(ls run_1/ckpt_*.h5 run_2/ckpt_*.h5 | wc -l)" ] ||
    complain "not a row for each checkpoint"
[ "$(wc -l <out.txt)" -le 25 ] || complain "the brief form is long"
grep -q -e '--full' out.txt || complain "the brief form does not say where the rest is"
mkdir some && cp -r run_1 run_2 some/
"$analyze" -q --no-charts some | grep -q '^run_2/ckpt_100 ' || complain "a folder of runs failed"

# A device, where there is one; else why not. Programs that have no use for it say so.
err=$("$analyze" -q --no-charts --backend cuda run_1 2>&1 >/dev/null) ||
    case "$err" in *"backend 'cuda'"*) ;; *) complain "--backend cuda: says '$err'" ;; esac
"$analyze" -q --no-charts --backend cpu run_1 >cpu.txt || complain "--backend cpu failed"

# JSON: one object, or an array; the same as in the file
"$analyze" -q --no-charts --json run_2/ckpt_50.h5 >one.json || complain "--json failed"
cmp -s one.json run_2/ckpt_50.analyze.json || complain "--json differs from the file"
"$analyze" -q --no-charts --json run_1 run_2 >two.json || complain "--json of two failed"
[ "$(head -c 1 one.json)$(head -c 1 two.json)" = '{[' ] || complain "--json: object and array"

# Equal runs give equal bytes, charts too, on one thread and on two.
strip() { grep -v '"command"\|"threads"\|"eval_id"' "$1"; }
"$analyze" -q --threads 2 run_2/ckpt_50.h5 >a.txt
strip run_2/ckpt_50.analyze.json >a.json
cat run_2/charts/ckpt_50.*.gp >a.gp
"$analyze" -q --threads 1 run_2/ckpt_50.h5 >b.txt
cmp -s a.txt b.txt || complain "one thread prints another table"
strip run_2/ckpt_50.analyze.json | cmp -s - a.json || complain "one thread gives another result"
cat run_2/charts/ckpt_50.*.gp | cmp -s - a.gp || complain "one thread draws other charts"

# Every option is heard.
"$analyze" -q --no-charts --json --bins 50 --floor 9 --sample 7 --top 3 --duplicate 0.3 \
    run_2/ckpt_50.h5 >o.json || complain "options failed"
for part in '"bins": 50' '"floor": 9' '"sample": 7' '"top": 3' '"n": 50'; do
    grep -q "$part" o.json || complain "options: no $part"
done
[ "$(grep -c '"n_ij"' o.json)" = 3 ] || complain "--top 3 lists another number"
grep -q '"duplicate_pairs": 0' o.json && complain "--duplicate 0.3 finds nothing"
"$make" sets/ckpt_0.h5 kind=nomasks || exit 1
"$analyze" -q --weights-only --no-charts sets >out.txt || complain "--weights-only failed"
grep -q 'Overlap' out.txt && complain "--weights-only shows overlaps"

# Refusals: one line, status, what to do
expect() { # status, part of the message, arguments...
    want=$1 part=$2
    shift 2
    got=$("$analyze" -q "$@" 2>&1 >/dev/null)
    code=$?
    [ $code = "$want" ] || complain "$*: status $code, expected $want"
    [ "$(printf '%s\n' "$got" | wc -l)" = 1 ] || complain "$*: more than one line"
    case "$got" in *"$part"*) ;; *) complain "$*: says '$got'" ;; esac
}
expect 1 'weights-only' sets/ckpt_0.h5
expect 1 'no such file' nothing.h5
expect 1 "'sets' holds ckpt_0.h5" sets/ckpt_1.h5
expect 2 'must be at least 1' --floor 0
expect 2 'must be at most 1' --duplicate 1.5
mkdir empty
expect 2 'no ckpt_' empty
mkdir store && touch store/acts.json
expect 2 "'store' is an activation store, not a run" store
"$make" sets/nan.h5 kind=nan || exit 1
expect 1 'W_dec' sets/nan.h5
echo 'text' >sets/text.h5
expect 1 'sets/text.h5' sets/text.h5
head -c 5000 run_2/ckpt_50.h5 >sets/half.h5
expect 1 'sets/half.h5' sets/half.h5
[ -f sets/half.analyze.json ] && complain "a failure left a result"

"$analyze" -q --no-charts run_1 >/dev/full 2>/dev/null && complain "a full disk goes unnoticed"

# A folder's and a file's name are text in every chart and table, never a command.
evil="|touch RAN;\`touch RAN\`'\"@x<b>]]>$(printf '\033[31m\n')!touch RAN"
mkdir "./$evil" && cp run_1/ckpt_100.h5 "./$evil/ckpt_1'\`touch RAN\`.h5" || exit 1
"$analyze" "./$evil" >out.txt 2>err.txt || complain "a hostile name makes it fail: $(cat err.txt)"
"$analyze" -q "$evil" >out2.txt 2>>err.txt || complain "a name that begins with | makes it fail"
[ ! -e RAN ] || complain "a name was run as a command"
LC_ALL=C tr -d '\n -~\200-\377' <out.txt | grep -q . && complain "the tables hold control bytes"
LC_ALL=C tr -d '\n -~\200-\377' <err.txt | grep -q . && complain "messages hold control bytes"
if command -v gnuplot >/dev/null; then
    for what in cosine pairs joint; do
        svg="./$evil/charts/ckpt_1'\`touch RAN\`.$what.svg"
        tail -c 8 "$svg" | grep -q '</svg>' || complain "hostile name: no chart $what"
        ! command -v xmllint >/dev/null || xmllint --noout "$svg" || complain "$what is not XML"
    done
fi

# Formats of the charts; a chart never decides over a result.
"$analyze" -q --format tiff run_1 >/dev/null 2>err.txt
[ $? -eq 2 ] && grep -q 'svg, pdf or png' err.txt || complain "--format tiff is taken"
if command -v gnuplot >/dev/null; then
    "$analyze" -q --format pdf,png --chart-width column run_1 >/dev/null || complain "--format failed"
    head -c 5 run_1/charts/ckpt_100.joint.pdf | grep -q '%PDF-' || complain "no PDF"
    head -c 4 run_1/charts/ckpt_100.joint.png | grep -q PNG || complain "no PNG"
fi
mkdir -p broken && printf '#!/bin/sh\necho "<svg>"\n' >broken/gnuplot && chmod +x broken/gnuplot
rm -rf run_2/ckpt_75.h5 run_2/*.analyze.json run_2/charts
PATH="$PWD/broken:$PATH" "$analyze" -q --all run_2 >out.txt 2>err.txt || complain "a broken gnuplot decides"
grep -q 'warning: a chart of .*is the disk full' err.txt || complain "a broken gnuplot is not told"
[ "$(ls run_2/*.analyze.json | wc -l)" = 3 ] || complain "a broken gnuplot costs results"
[ -z "$(ls run_2/charts | grep -v '[.]gp$')" ] || complain "half a picture is published"
rm -rf run_2/charts && : >run_2/charts
"$analyze" -q run_2 >out.txt 2>err.txt || complain "a folder that cannot be made decides"
grep -q 'warning: no charts of' err.txt || complain "a folder that cannot be made is not told"
exit $bad
