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
"$report" --full >all.txt 2>err.txt || complain "plain call failed: $(cat err.txt)"
[ ! -s err.txt ] || complain "talks on stderr: $(cat err.txt)"
for line in '^Sparse autoencoder runs: run_1, run_2, run_3$' '^In short$' '^What was run$' \
    '^Settings$' '^Held-out reconstruction$' '^Separation of features$' '^Sparse probing$' \
    '^Absorption (first letters)$' '^What the language model loses (core)$' '^Score targets$' \
    '^Differences from run_1$' '^Over seeds$' '^Charts$' \
    'published: gemma-2-2b layer 12; not comparable in absolute terms to this model' \
    '^  run_1 +100 % +0.0100 missed +not measured +0.7000 missed$' \
    '^  \[published topk\] +publ. +0.0296 missed +0.0637 missed +0.7449 met$' \
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

# Without --full: what matters, on two or three screens, and where the rest is.
"$report" --no-draw >brief.txt || complain "the brief form failed"
[ "$(wc -l <brief.txt)" -le 120 ] || complain "the brief form has $(wc -l <brief.txt) lines"
for line in '^In short$' '^Side by side, at the end of training$' '^Score targets$' 'sae-report --full' \
    '^  run_2 \(2 seeds\) against run_1 at 100 % of training; one seed:$' \
    '^  held-out explained variance +higher +0.9000 +0.9200 \+- 0.0100$'; do
    grep -Eq "$line" brief.txt || complain "the brief notes lack: $line"
done
awk 'length > 110 { print "too wide: " $0; bad = 1 } END { exit bad }' brief.txt || bad=1

# The same by name; equal calls give equal bytes; an operand may end in a slash.
"$report" --full run_1 run_2/ run_3 | cmp -s - all.txt || complain "named runs differ from found runs"
"$report" --full run_1 | grep -q 'Differences' && complain "differences of one run"
# an axis of steps has few marks: their numbers ran together
grep -Eq '^set xtics autofreq [0-9.]+$' report_charts/loss_parts.gp || complain "step axes are crowded"
if command -v gnuplot >/dev/null; then
    for chart in report_charts/*.gp; do
        LC_ALL=C.UTF-8 gnuplot -c "$chart" again.svg 2>&1 | grep -q . && complain "gnuplot has a word about $chart"
    done
    rm -f again.svg
fi
"$report" --charts pictures run_1 >/dev/null
[ -s pictures/separation.gp ] || complain "--charts is not heeded"
# of one phase alone a point has bars, from the least to the greatest of its seeds
"$report" --charts once run_2/ckpt_100.h5 run_3/ckpt_100.h5 >/dev/null
grep -q 'with yerrorbars' once/reconstruction.gp && grep -q 'bars: least to greatest' once/reconstruction.gp ||
    complain "one phase: the spread over seeds is not drawn"
grep -q 'with filledcurves' once/reconstruction.gp && complain "one phase: a band without width"
rm -rf report_charts
"$report" --no-draw --full --against run_3 >against.txt || complain "--against failed"
[ ! -e report_charts ] || complain "--no-draw draws"
grep -q '^Differences from run_2 (2 seeds)$' against.txt || complain "--against is not heeded"

# From inside a run, and for one checkpoint.
(cd run_2 && "$report" --no-draw) | grep -q '^Sparse autoencoder runs: run_2$' ||
    complain "inside a run it does not report that run"
"$report" --no-draw --full run_2/ckpt_50.h5 >one.txt || complain "one checkpoint failed"
grep -q '^  50 %' one.txt || complain "one checkpoint: no 50 %"
grep -q '^  100 %' one.txt && complain "one checkpoint: other phases too"

# --json: valid, with the numbers of the runs.
"$report" --json --no-draw >all.json || complain "--json failed"
grep -q '"heldout_ev": 0.9' all.json || complain "--json lacks numbers"
grep -q '"verdict": "missed"' all.json || complain "--json lacks verdicts"

# --csv: a file, a folder of tables, or stdout; all rows as wide as the head.
"$report" --no-draw --csv numbers.csv run_1 run_2 run_3 >beside.txt || complain "--csv FILE failed"
grep -q '^In short$' beside.txt || complain "--csv FILE keeps the notes back"
"$report" --no-draw --csv - run_1 run_2 run_3 | cmp -s - numbers.csv || complain "--csv - differs"
"$report" --no-draw --csv tables run_1 run_2 run_3 >/dev/null || complain "--csv DIR failed"
cmp -s tables/metrics.csv numbers.csv || complain "--csv DIR differs"
for table in metrics runs groups comparisons series; do
    awk -F, 'NR == 1 { n = NF } NF != n { bad = 1 } END { exit bad || NR < 10 }' tables/$table.csv ||
        complain "$table.csv has rows of another width, or few"
done
grep -q '^run_2,run_1,100,heldout_ev,higher,2,1,0,0.92,0.9,0.02.*,cannot tell,4,4$' tables/comparisons.csv ||
    complain "comparisons.csv lacks a comparison"
"$report" --no-draw --csv numbers.txt run_1 >beside.txt 2>err.txt
[ $? -eq 2 ] || complain "--csv numbers.txt should give exit 2"
[ -e numbers.txt ] && complain "--csv numbers.txt made a folder"
"$report" --no-draw --csv run_1/ckpt_100.h5/numbers.csv run_1 >beside.txt 2>err.txt
[ $? -eq 1 ] || complain "numbers that cannot be written should give exit 1"
grep -q '^In short$' beside.txt || complain "notes are lost with the file of numbers"
"$report" --no-draw --csv - --json run_1 >/dev/null 2>&1
[ $? -eq 2 ] || complain "--csv - --json should give exit 2"

# Baselines from elsewhere, from nowhere.
mkdir theirs && cp "$root/data/baselines/topk.json" theirs/
"$report" --no-draw --full --baselines theirs run_1 | grep -q '\[published standard\]' && complain "--baselines is not heeded"
"$report" --no-draw --baselines nowhere run_1 >none.txt 2>err.txt || complain "no baselines: failed"
grep -q nowhere err.txt || complain "missing baselines are not named"

# What is missing comes with its command; a damaged file is named, the rest is reported, exit 1.
rm run_3/*.absorb.json
echo '{' >run_1/ckpt_25.core.json
"$report" --no-draw --full >gaps.txt 2>err.txt
[ $? -eq 1 ] || complain "a damaged result should give exit 1"
grep -q '^      sae-absorb --all run_3$' gaps.txt || complain "no command for a whole run"
grep -q "run_1/ckpt_25.core.json" gaps.txt || complain "damage is not in the notes"
grep -q "warning.*run_1/ckpt_25.core.json" err.txt || complain "damage is not on stderr"
rm run_1/ckpt_25.core.json
mkdir hurt && cp run_1/ckpt_*.h5 hurt/ && head -c 2000 run_1/ckpt_50.h5 >hurt/ckpt_50.h5
"$report" --no-draw --full hurt run_2 no_such >hurt.txt 2>err.txt
[ $? -eq 1 ] || complain "an unreadable checkpoint should give exit 1"
grep -q "hurt/ckpt_50.h5" err.txt || complain "an unreadable checkpoint is not on stderr"
grep -q "no_such" err.txt || complain "a missing run is not on stderr"
grep -q "^  100 %  hurt " hurt.txt || complain "the rest of a hurt run is not reported"
rm -r hurt

# Charts that cannot be made: a warning, the tables all the same.
echo 'in the way' >blocked
"$report" --charts blocked run_1 >blocked.txt 2>err.txt || complain "blocked charts make it fail"
grep -q "warning.*charts are not complete" err.txt || complain "blocked charts are not told"
grep -q '^Score targets$' blocked.txt || complain "blocked charts keep the tables back"

# Runs of one name are told apart by the ends of their paths, or as the user says.
mkdir -p x/deep/run_1 y/deep/run_1 && cp run_1/* x/deep/run_1/ && cp run_2/* y/deep/run_1/
"$report" --charts twins x/deep/run_1 y/deep/run_1 run_3 >twins.txt 2>&1 || complain "twins fail"
grep -q '^Sparse autoencoder runs: x/deep/run_1, y/deep/run_1, run_3$' twins.txt ||
    complain "runs of one name: $(head -n 1 twins.txt)"
[ -s twins/pairs_x_deep_run_1.gp ] && [ -s twins/pairs_y_deep_run_1.gp ] ||
    complain "runs of one name share a chart"
"$report" --no-draw --label plain=x/deep/run_1 --label orth=y/deep/run_1 --against orth \
    x/deep/run_1 y/deep/run_1 >labels.txt || complain "--label failed"
grep -q '^  plain against orth at 100 %' labels.txt || complain "labels are not used"
"$report" --no-draw --label plain=run_9 run_1 >/dev/null 2>&1
[ $? -eq 2 ] || complain "--label of no run should give exit 2"

# A folder of runs stands for each of them; a store is called one.
"$report" --no-draw x >folder.txt || complain "a folder of runs failed"
grep -q '^Sparse autoencoder runs: run_1$' folder.txt || complain "a folder of runs is not looked into"
mkdir above && cp -r x/deep above/
(cd above && "$report" --no-draw) | grep -q '^Sparse autoencoder runs: run_1$' ||
    complain "the runs of a sweep beside are not found"

# Where all runs of a folder lack the same, the command names the folder; else it names the runs.
mkdir whole && cp -r run_2 run_3 whole/ && rm whole/run_*/*.core.json
"$report" --no-draw --full whole >gaps.txt
grep -q '^      sae-splice --all whole$' gaps.txt || complain "a command does not name the folder of runs"
"$report" --no-draw --full whole/run_2 >gaps.txt
grep -q '^      sae-splice --all whole/run_2$' gaps.txt || complain "a command names runs that were not asked for"
mkdir acts && echo '{}' >acts/acts.json
"$report" --no-draw acts >/dev/null 2>err.txt
[ $? -eq 1 ] || complain "a store should give exit 1"
grep -q "'acts' is an activation store, not a run" err.txt || complain "a store: $(cat err.txt)"

# What -o made of an SAE from elsewhere is a row beside the runs.
mkdir -p out/core out/absorption
cat >out/core/lens_l12_custom_sae_eval_results.json <<'END'
{"eval_type_id": "core", "eval_config": {}, "sae_cfg_dict": {"architecture": "jumprelu",
 "d_in": 8, "d_sae": 4096, "model_name": "tiny-g2"}, "eval_result_metrics": {"sparsity": {"l0": 4.1},
 "model_performance_preservation": {"ce_loss_score": 0.77}}, "saekit": {"checkpoint": {"id": "e1"}}}
END
sed 's/"core"/"absorption_first_letter"/; s/"sparsity.*/"mean": {"mean_absorption_score": 0.25}},/
    s/"eval_config": {}/"eval_config": {"min_feats_for_eval": 20}/
    s/ "model_perf.*\("saekit.*\)/\1/' out/core/lens*.json >out/absorption/lens_l12_custom_sae_eval_results.json
# (an analysis has no sae_cfg_dict, and comes first)
mkdir out/analyze
echo '{"eval_type_id": "analyze", "sae_cfg_dict": {}, "eval_result_metrics": {"separation":
    {"coherence": 0.5}}, "saekit": {"checkpoint": {"id": "e1", "m": 4096}}}' \
    >out/analyze/lens_l12_custom_sae_eval_results.json
"$report" --no-draw --full run_1 out >out.txt 2>err.txt || complain "a folder of results failed: $(cat err.txt)"
grep -Eq '^ +lens_l12 +0.7700 .* 4.1$' out.txt || complain "an SAE from elsewhere has no row"
grep -Eq '^ +lens_l12 +0.2500 ' out.txt || complain "its absorption is missing"
tr -s ' \n' ' ' <out.txt | grep -q 'lens_l12 jumprelu SAE, m 4096, tiny-g2; results only' ||
    complain "an SAE from elsewhere is not described"
grep -Eq '^  lens_l12 against run_1 at 100 % of training; one seed:$' out.txt ||
    complain "an SAE from elsewhere is not compared"
grep -q '^Settings$' out.txt || complain "an SAE from elsewhere hides the runs' settings"
"$report" --no-draw out >/dev/null || complain "results alone failed"
grep -q 'OTHER MODEL' out.txt && complain "one model is called another"
sed -i 's/"model_name": "tiny-g2"/"model_name": "other"/' out/*/lens*.json
"$report" --no-draw run_1 out | grep -q 'OTHER MODEL OR LAYER: lens_l12\.' ||
    complain "an SAE of another model is set beside without a word"

# Nothing to report is an error: of the runs (1), of the question (2).
"$report" --no-draw nothing >/dev/null 2>err.txt
[ $? -eq 1 ] || complain "a missing run should give exit 1"
grep -q "nothing" err.txt || complain "the missing run is not named"
mkdir empty && (cd empty && "$report" >/dev/null 2>&1)
[ $? -eq 2 ] || complain "no run at all should give exit 2"
"$report" --no-draw --against run_9 >/dev/null 2>&1
[ $? -eq 2 ] || complain "a wrong --against should give exit 2"

# SAEBench's own folders: one row an SAE, each number under its formula's name, the rest named.
mkdir -p bench/core bench/absorption bench/more/tpp bench/more/scr
result() { # FILE TYPE DATE METRICS [CONFIG]
    printf '{"eval_type_id": "%s", "datetime_epoch_millis": %s, "eval_config": {"model_name": "m", %s},
        "sae_cfg_dict": {"architecture": "topk", "d_sae": 4096, "hook_name": "blocks.12.hook_resid_post"},
        "eval_result_metrics": %s}' "$2" "$3" "${5:-\"x\": 0}" "$4" >"bench/$1_eval_results.json"
}
fraction='{"mean": {"mean_absorption_fraction_score": 0.25, "mean_full_absorption_score": 0.05}}'
long=a_name_that_is_long_and_alike_in_front_of_many_layer_12_trainer_3
result core/$long core 1738000000000 '{"reconstruction_quality": {"explained_variance": 0.77, "mse": 2},
    "model_behavior_preservation": {"kl_div_score": -1}, "sparsity": {"l0": 80}}'
result absorption/$long absorption_first_letter 1738000000000 "$fraction"
result absorption/a absorption_first_letter 1736000000000 '{"mean": {"mean_absorption_score": 0.03}}'
result absorption/c absorption_first_letter 1744000000000 "$fraction"
result absorption/d absorption_first_letter 0 "$fraction" '"min_feats_for_eval": 20'
result absorption/undated absorption_first_letter 0 "$fraction"
result more/tpp/a tpp 1738000000000 '{"tpp_metrics": {"tpp_threshold_10_total_metric": 0.14}}'
result more/scr/a scr 1738000000000 '{"scr_metrics": {"scr_metric_threshold_10": 0.21,
    "scr_metric_threshold_20": 0.33}}'
result more/tpp/other ravel 1738000000000 '{"a": {"b": 1}}'
result more/tpp/nested tpp 1738000000000 '{"a": {"b": {"c": 1}}}'
result more/core_again core 1738000000000 '{"sparsity": {"l0": 1}}'
cp bench/core/${long}_eval_results.json bench/more/
echo '{"eval_type_id":' >bench/core/cut_eval_results.json
"$report" --no-draw --full --saebench bench run_1 >bench.txt 2>err.txt || complain "--saebench failed: $(cat err.txt)"
row='\[\.\.of_many_layer_12_trainer_3\]|\[[^]]*layer_12_trainer_3\]'
"$report" --no-draw --json --saebench bench run_1 2>/dev/null |
    jq -e '.published[] | select(.name | endswith("trainer_3")) | .metrics |
        .absorption_fraction_b == 0.25 and .absorption_fraction == null and .kl_score == null and
        .core_ev_legacy == 0.77 and .core_ev == null and .core_l0 == 80' >/dev/null ||
    complain "results of January 2025 are not under their formulas"
grep -Eq '\[a\] +0.0300 ' bench.txt || complain "absorption of 2024 is not (A)"
grep -Eq '\[c\] +- +0.0500 +0.2500 ' bench.txt || complain "absorption of April 2025 is not (C)"
grep -Eq '\[d\] +- +0.0500 +0.2500 ' bench.txt || complain "today's absorption is not under (C)"
grep -Eq "($row).* 0.7700" bench.txt || complain "the old explained variance is not the legacy one"
# sae-probes has a table of its own
mkdir -p bench/probes
result probes/a sparse_probing_sae_probes 1764000000000 '{"llm": {"llm_test_auc": 0.97},
    "sae": {"sae_test_accuracy": null, "sae_top_1_test_auc": 0.71, "sae_top_5_test_auc": 0.83}}'
"$report" --no-draw --full --saebench bench run_1 2>/dev/null >probes.txt
sed -n '/^Sparse probing at the last token/,/^Absorption/p' probes.txt |
    grep -Eq '\[a\] +0.7100 +0.8300 +0.9700' || complain "no row of sae-probes: $(cat probes.txt)"
# SCR and TPP stand under the names that the runs' own results have: rows of one table
echo '{"eval_result_metrics": {"scr_metrics": {"scr_metric_threshold_10": 0.11,
    "scr_metric_threshold_20": 0.12}}}' >run_1/ckpt_100.scr.json
"$report" --no-draw --full --saebench bench run_1 >scr.txt 2>/dev/null
grep -q '^Spurious correlation\|^Targeted probe\|SCR by 10' scr.txt && complain "SCR is shown unasked"
tr -s ' \n' ' ' <scr.txt | grep -q 'They are left out here: --doubtful shows them' ||
    complain "does not say that SCR is left out"
"$report" --no-draw --csv - --saebench bench run_1 2>/dev/null | grep -q ',scr_10,' ||
    complain "no SCR in the CSV"
"$report" --no-draw --full --doubtful --saebench bench run_1 >scr.txt 2>/dev/null
sed -n '/^Spurious correlation/,/^Targeted probe/p' scr.txt >scr_table.txt
grep -Eq '^  100 %  run_1 +0.1100 ' scr_table.txt || complain "no SCR row of the run"
grep -Eq '\[a\] +0.2100 +0.3300' scr_table.txt || complain "no published row in the SCR table"
sed -n '/^Targeted probe/,/^Score targets/p' scr.txt | grep -Eq '\[a\] +0.1400$' || complain "no TPP"
tr -s ' \n' ' ' <scr.txt | grep -q 'no program here measures' && complain "says that SCR is not measured"
for text in "undated_eval_results.json' has no date" "cut_eval_results.json' is not valid JSON" \
    "evaluation 'ravel'" "nested_eval_results.json': eval_result_metrics" "another core result of the same SAE"; do
    grep -q "$text" err.txt || complain "not on stderr: $text"
    tr -s ' \n' ' ' <bench.txt | grep -q "$text" || complain "not in the notes: $text"
done
grep -q '\[undated\]' bench.txt && complain "a file of unknown version is shown"
"$report" --no-draw --saebench nowhere run_1 >/dev/null 2>&1
[ $? -eq 2 ] || complain "a missing --saebench folder should give exit 2"

# Names and records are data: whatever they hold, nothing runs, charts are XML, and no terminal is
# commanded. The record's text has the length of what it replaces, so that the file stays whole.
is_xml() {
    if command -v xmllint >/dev/null; then xmllint --noout "$1"; else tail -c 8 "$1" | grep -q '</svg>'; fi
}
mkdir hostile && cd hostile && "$make" . || exit 1
evil="run_\`touch RAN\`\$(touch RAN)'\"@x<b>]]>&$(printf '\033]0;\007\302\233\377\n')!touch RAN"
mv run_2 "$evil"
sed -i 's/"progressive"/"`touch RAN`"/g' run_3/ckpt_*.h5
for file in run_1/*.json "$evil"/*.json; do
    sed -i 's/"\(tiny-g2\|run_[0-9]\)"/"`touch RAN`\\u001b[31m"/g' "$file"
done
"$report" run_1 "$evil" run_3 >notes.txt 2>err.txt || complain "hostile names make it fail: $(cat err.txt)"
[ ! -e RAN ] || complain "text of a file was run as a command"
grep -q 'touch RAN' report_charts/grid.gp || complain "the option is not in the grid's chart"
for file in notes.txt err.txt; do
    LC_ALL=C tr -d '\n -~\200-\377' <$file | grep -q . && complain "$file holds control bytes"
    LC_ALL=C grep -q "$(printf '\302\233')" $file && complain "$file holds a terminal command"
done
if command -v gnuplot >/dev/null; then
    for chart in report_charts/*.gp; do
        is_xml "${chart%.gp}.svg" || complain "not XML: ${chart%.gp}.svg"
    done
fi

# Charts of an earlier report are taken away, and nothing else; formats, titles, what fails.
cd "$dir" && mkdir later && cd later && "$make" . || exit 1
"$report" --format svg >/dev/null && [ -s report_charts/pairs_run_2.gp ] || complain "no chart to take away"
for file in mine.svg separation_copy.gp; do echo mine >report_charts/$file; done
"$report" --format pdf --chart-width column --title none run_1 >notes.txt || complain "--format pdf failed"
for file in pairs_run_2.gp pairs_run_2.svg separation.svg; do
    [ ! -e report_charts/$file ] || complain "an earlier report's $file stays"
done
for file in mine.svg separation_copy.gp separation.gp pairs_run_1.gp; do
    [ -s report_charts/$file ] || complain "$file is gone"
done
grep -q 'Separation of features' report_charts/separation.gp && complain "--title none is not heeded"
grep -q 'report_charts/separation.pdf' notes.txt || complain "the notes do not name the PDF"
if command -v gnuplot >/dev/null; then
    head -c 5 report_charts/separation.pdf | grep -q '%PDF-' || complain "no PDF"
fi
"$report" --format gif >/dev/null 2>&1
[ $? -eq 2 ] || complain "--format gif should give exit 2"
mkdir -p broken && printf '#!/bin/sh\necho "<svg>"\n' >broken/gnuplot && chmod +x broken/gnuplot
PATH="$PWD/broken:$PATH" "$report" run_1 >notes.txt 2>err.txt || complain "a broken gnuplot ends the report"
grep -q 'warning: a chart is left out' err.txt || complain "a broken gnuplot is not told"
grep -q '^In short' notes.txt || complain "a broken gnuplot costs the notes"
[ ! -e report_charts/separation.pdf ] || complain "a chart that failed leaves the earlier one"

# More settings than styles: each has a colour of its own, and the key names the option's values.
# As above, a value keeps its length.
mkdir ../sweep && cd ../sweep && "$make" . && mkdir many || exit 1
for value in 00 01 02 03 04 05 06 07 08 09 10; do
    cp -r run_2 many/run_$value
    sed -i "s/\"progressive\"/\"orth_val_$value\"/g" many/run_$value/ckpt_*.h5
done
"$report" many >/dev/null || complain "eleven settings failed"
[ "$(grep -o "with linespoints lc rgb '#......'" report_charts/reconstruction.gp | sort -u | wc -l)" -ge 11 ] ||
    complain "two of eleven settings look alike"
grep -q 'orth orth..val..10' report_charts/reconstruction.gp || complain "the key does not name the values"
grep -q "title 'run" report_charts/reconstruction.gp && complain "the key names every run of a sweep"

# A run without the orthogonality term has a tau in its series, but none to draw.
"$report" run_1 run_2 >/dev/null && grep -q 'threshold tau' report_charts/schedules.gp ||
    complain "tau is not drawn"
"$report" run_1 >/dev/null
grep -q 'threshold tau' report_charts/schedules.gp 2>/dev/null && complain "tau of a run without the term"
# What training has not touched yet does not flatten the rest.
"$report" run_1 run_2 >/dev/null
grep -q 'off the scale' report_charts/reconstruction.gp && complain "a 0 % near the others is off the scale"
exit $bad
