#!/bin/sh
# sae-unlearn as a person types it, on the embedded language model and a task of a few questions.
# Usage: unlearn.sh BUILD_ROOT SOURCE_ROOT
set -u
build=$1 root=$2
unlearn=$build/unlearn/sae-unlearn
bad=0
complain() { echo "$*"; bad=1; }
# refused STATUS WORDS COMMAND...: status, one line, and what it says
refused() {
    want=$1 words=$2
    shift 2
    "$@" >out.txt 2>err.txt
    got=$?
    [ "$got" -eq "$want" ] || complain "status $got, not $want: $*: $(cat err.txt)"
    grep -q -e "$words" err.txt || complain "does not say '$words': $(cat err.txt)"
    [ "$(grep -vc warning err.txt)" -eq 1 ] || complain "more than one line: $(cat err.txt)"
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Two domains: what a manual says, and what scripture says.
mkdir -p study/task/forget study/task/retain
cd study || exit 1
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "{\"text\": \"And the LORD said unto the king of Judah, Behold, I will bring evil upon this city, and the children of Israel shall go out of the land $i times, and they shall not return unto me, saith the LORD.\"}"
done >task/forget.jsonl
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "{\"text\": \"The function returns the number of rows in table $i. If the argument is null, an error is raised; by default the value of the parameter is used, and the command is not executed on the server.\"}"
done >task/retain.jsonl
cat >task/forget/scripture.jsonl <<'END'
{"question": "And God said, Let there be light: and there was", "choices": ["light.", "operator class."], "answer": 0}
{"question": "And the LORD said unto", "choices": ["a database index", "Moses, Go unto Pharaoh"], "answer": 1}
{"question": "The children of Israel went out of", "choices": ["Egypt.", "parameter value."], "answer": 0}
{"question": "A question without any right answer", "choices": ["a", "b"], "answer": 7}
END
cat >task/retain/manual.csv <<'END'
question,choices,answer
This function returns the number of rows in the,"['table.', 'wilderness of Judah.']",0
"If this parameter is not set, the default value is","['Aaron the priest.', 'used.']",1
END
cat task/forget.jsonl task/retain.jsonl >text.jsonl
"$build/harvest/sae-harvest" -q --model "$root/data/tiny-g2" --layer 3 --text text.jsonl \
    --tokens 1500 --context 64 -o acts >/dev/null || exit 1
for seed in 1 2; do
    "$build/train/sae-train" -q --acts acts --k 8 --m 64 --batch 64 --steps 60 --lr 1e-2 \
        --heldout-rows 128 --seed $seed -o run_$seed >/dev/null || exit 1
done
grid="--context 64 --thresholds 0.001,0.5 --features 2,4 --multipliers 5,50"

"$unlearn" --task task $grid run_1 >out.txt 2>err.txt || complain "plain call failed: $(cat err.txt)"
grep -q '^run_1/ckpt_100.h5 ' out.txt || complain "no row: $(cat out.txt)"
grep -q 'task scripture, asked by cloze' out.txt || complain "task and form not said: $(cat out.txt)"
grep -q '1 of 4 rows are no usable question.*line 4: no right answer' err.txt ||
    complain "the question without an answer is not named: $(cat err.txt)"
result=run_1/ckpt_100.unlearn.json
grep -q '"eval_type_id": "unlearning"' $result || complain "no result"
sh "$root/tests/cli/saebench.sh" "$root" $result || complain "not SAEBench's form"
grep -q '"task_name": "scripture"' $result || complain "task not recorded"
grep -q '"unlearning_score": [01]' $result || complain "no score"
[ "$(grep -c '"retain_threshold"' $result)" -eq 8 ] || complain "not eight settings"
[ -e run_1/ckpt_100.unlearn.part.json ] && complain "the part file is left behind"
cp $result first.json

# Equal calls give equal bytes; one thread as well; --json is the file.
"$unlearn" -q --json --threads 1 --task task $grid run_1 >one.json 2>/dev/null || complain "--json failed"
metrics() { sed -n '/"eval_result_metrics"/,/"sae_bench_commit_hash"/p' "$1"; }
metrics first.json >a.txt
metrics one.json | cmp -s - a.txt || complain "the number of threads changes numbers"
"$unlearn" -q --task task $grid run_1 >/dev/null 2>&1
cmp -s first.json $result || complain "equal calls differ"

# Stopped after the first settings: the rest is done later, to the same bytes.
rm $result
"$unlearn" --task task $grid run_1 >/dev/null 2>err.txt &
pid=$!
part=run_1/ckpt_100.unlearn.part.json
for i in $(seq 200); do
    if [ -s $part ] && grep -q '"0.5 ' $part; then break; fi
    [ -e $result ] && break
    sleep 0.05
done
kill -INT $pid 2>/dev/null
wait $pid
status=$?
if [ ! -e $result ]; then
    [ $status -eq 130 ] || complain "stopped with status $status"
    grep -q 'continues from there' err.txt || complain "does not say what is kept: $(cat err.txt)"
    [ -s $part ] || complain "nothing was kept"
    "$unlearn" --task task $grid run_1 >/dev/null 2>err.txt || complain "going on failed: $(cat err.txt)"
fi
cmp -s first.json $result || complain "after a stop the result differs"

# Several checkpoints together give the numbers of each alone; the model's known questions are kept.
"$unlearn" -q --task task --known known $grid run_1 run_2 >/dev/null 2>&1 || complain "two runs failed"
metrics $result | cmp -s - a.txt || complain "two runs together change numbers"
[ -s run_2/ckpt_100.unlearn.json ] || complain "no result of the second"
[ -s known/scripture_correct.csv ] || complain "known questions are not written"
"$unlearn" -q --json --task task --known known $grid run_1 2>/dev/null | grep -q '"known_from": "file"' ||
    complain "known questions are not read"

# Files named one by one; a file of several subjects, one of them not there.
cat >mmlu.csv <<'END'
question,subject,choices,answer
This function returns the number of rows in the,manual,"['table.', 'wilderness of Judah.']",0
"If this parameter is not set, the default value is",other,"['Aaron the priest.', 'used.']",1
END
"$unlearn" --forget task/forget.jsonl --retain task/retain.jsonl $grid \
    --forget-questions task/forget/scripture.jsonl --retain-questions mmlu.csv \
    --subjects manual,missing run_1 >out.txt 2>err.txt || complain "files failed: $(cat err.txt)"
grep -q "no questions of subject 'missing'" err.txt || complain "missing subset: $(cat err.txt)"
grep -q 'retain   manual: 1 of 1' out.txt || complain "subject not taken: $(cat out.txt)"

# What cannot be used.
refused 2 'name it with --forget FILE' "$unlearn" -q run_1
refused 2 'no such folder' "$unlearn" -q --task nowhere run_1
refused 2 '--form cloze' "$unlearn" -q --task task --form letters --context 64 run_1
refused 2 'smaller --context' "$unlearn" -q --task task --min-length 5000 --context 64 run_1
mkdir empty && cp task/*.jsonl empty
refused 2 "or put them into 'empty'" "$unlearn" -q --task empty run_1
echo '{"question": "And God said, Let there be light: and there was", "choices": ["light.", "zzqx kkvw"], "answer": 1}' >unknown.jsonl
refused 2 'knows none of the 1 questions to be forgotten' "$unlearn" -q --task task $grid \
    --forget-questions unknown.jsonl run_1
: >none.jsonl
refused 1 "'none.jsonl' is empty" "$unlearn" -q --task task $grid --forget-questions none.jsonl run_1
# Another tokenizer than the one the activations were made with: said, as a variant may well differ.
cp -r "$root/data/tiny-g2" other && printf '\000' >>other/tokenizer.model
"$unlearn" -q --task task $grid --model other run_1 >/dev/null 2>err.txt
grep -q 'cut by tokenizer .*is it a variant' err.txt || complain "another tokenizer: $(cat err.txt)"
"$build/tests/unit/fixtures/make_ckpt" odd.h5 d=32 >/dev/null || complain "no odd checkpoint"
refused 2 'has width 32, but the language model' "$unlearn" -q --task task --layer 3 \
    --model "$root/data/tiny-g2" odd.h5
exit $bad
