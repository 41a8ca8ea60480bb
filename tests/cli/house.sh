#!/bin/sh
# House rules that a script can judge, over every source file:
#   - no function has more than 84 lines between its braces
#   - sections begin with one line of one form, dashes and an optional number (of all in a file, or of none)
#   - a row of options names its fields, from the default on
#   - nothing is dead: code outside of tests uses what it defines; what only tests use is named below
#   - a name tells its file: what lib exports begins with sae_, what a program exports with the name of its
#     folder or with the beginning of a file's name there
# Usage: house.sh SOURCE_ROOT NAME ...    (the programs)
set -eu
cd "$1"
shift
# What tests alone call: faults to order, ways to choose, and ways to see which was chosen.
for_tests="sae_mem_fail_after sae_st_write_folder sae_cuda_open probe_scores_mean
 rows_stay options_default"
sources=$(find lib lm "$@" \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' \) | sort)
tests=$(find tests \( -name '*.[ch]' -o -name '*.cc' \) | sort)
# shellcheck disable=SC2086
awk -v for_tests="$for_tests" '
function complain(what) { print FILENAME ":" FNR ": " what; bad = 1 }
BEGIN { n = split(for_tests, list, /[ \n]+/); for (i = 1; i <= n; i++) allowed[list[i]] = 1 }
FNR == 1 {
    inside = begun = numbered = plain = 0
    before = ""
    header = FILENAME ~ /\.h$/; test = FILENAME ~ /^tests\//
    room = FILENAME; sub(/\/[^\/]*$/, "", room); sub(/.*\//, "", room)
    stem = FILENAME; sub(/.*\//, "", stem); sub(/\..*/, "", stem)
    stems[room] = stems[room] " " stem
}

# sections
/^\/\* [0-9]+\. .*\*\/$/ { complain("a section begins with /* --- 1. name ---...--- */") }
/^\/\* ---/ {
    if ($0 !~ /^\/\* --- ([0-9]+\. )?[^ -].* ---+ \*\/$/)
        complain("a section begins with /* --- name ---...--- */ on one line")
    if (match($0, /[0-9]+\. /) == 8)
        numbered++
    else
        plain++
    if (numbered * plain > 0 || (numbered > 0 && substr($0, RSTART, RLENGTH) + 0 != numbered))
        complain("sections are numbered from 1 on, all of a file or none")
}

# lengths
/^\{$/ { begun = FNR }
/^\}/ {
    if (begun > 0 && FNR - begun - 1 > 84)
        complain("a function of " FNR - begun - 1 " lines: 84 are the most")
    begun = 0
}

# names: definitions, and what uses them
{
    line = $0
    if (index(line, "\"") > 0) {
        gsub(/\\./, "", line)
        gsub(/"[^"]*"/, "\"\"", line)
    }
    if (inside) {
        if (!match(line, /\*\//)) next
        line = substr(line, RSTART + 2)
        inside = 0
    }
    while (match(line, /\/\*/)) {
        rest = substr(line, RSTART + 2)
        line = substr(line, 1, RSTART - 1)
        if (!match(rest, /\*\//)) { inside = 1; break }
        line = line " " substr(rest, RSTART + 2)
    }
    if (test || line ~ /^[ \t]*$/) next
    # name, letter, kind, place and default, perhaps choices; then .min = and so on
    if (room != "train" && line ~ /^ *\{"", [^,]+, SAE_OPT_[A-Z0-9]+, [^,]+, [^,]+, [^.,]+,( [^. ]|$)/)
        complain("a row of options names its fields: .min = 1, .max = 9, .arg = ...")
    name = ""
    if (line ~ /^[A-Za-z_]/ && line !~ /static |alignas|typedef |^extern [^"]|^_Static|^SAE_LM_INLINE/ && before !~ /static [^;]*$/ && match(line, /(^|[ *])[a-z][a-z0-9_]*\(/)) {
        name = substr(line, RSTART, RLENGTH - 1)
        sub(/^[ *]/, "", name)
        if (!header && line !~ /;$/ && name !~ /^main$|_$/) {
            def[name] = FILENAME ":" FNR
            home[name] = FILENAME ~ /^lib\// ? "lib" : room
        }
    }
    before = line
    gsub(/[^A-Za-z0-9_]+/, " ", line)
    n = split(line, ids, " ")
    for (i = 1; i <= n; i++) {
        if (ids[i] == name) name = ""
        else uses[ids[i]] = 1
    }
}

function tells(name, room,   word) {
    word = name
    sub(/_.*/, "", word)
    if (room == "lib") return word == "sae" || word == "h5" || word == "pq"
    return word == room || word == "sae" || index(stems[room], " " word) > 0
}
END {
    for (f in def) {
        if (!(f in uses) && !(f in allowed)) {
            print def[f] ": " f " is never called"
            bad = 1
        }
        if (!tells(f, home[f])) {
            print def[f] ": " f " does not tell where it lies: sae_ in lib, else the folder or a file of it"
            bad = 1
        }
    }
    for (f in allowed)
        if (f in uses) {
            print "tests/cli/house.sh allows " f " to be called by tests alone, but code uses it"
            bad = 1
        }
    exit bad
}' $sources $tests
