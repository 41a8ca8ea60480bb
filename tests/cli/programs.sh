#!/bin/sh
# What goes through all programs has a row for each of them; what lacks one is told with what to add where.
# The list is program_names of the top meson.build.
# Usage: programs.sh SOURCE_ROOT NAME ...
set -u
cd "$1" || exit 1
shift
bad=0
complain() { echo "$*"; bad=1; }
want() { # FILE PATTERN WHAT
    grep -q -e "$2" "$1" || complain "$1 lacks $3"
}

for name; do
    tool=sae-$name
    want README.md "^| \`$tool\` |" "a row '| \`$tool\` | its question |' in the table of programs"
    if ! grep -q '"lib/eval/evaluate.h"' "$name"/*.[ch]; then # an evaluation is one of many there
        want docs/ARCHITECTURE.md "^    $name/ *$tool " "a line '    $name/ $tool INPUT -> OUTPUT' among the programs"
        want docs/ARCHITECTURE.md "^    $name *: $name " "a line '    $name : $name ...' in the table of layers: what it may include"
    fi
    grep -qs "^do_$name()" tests/inject/works*.sh ||
        complain "tests/inject/works_$name.sh lacks make_$name and do_$name: a small run that may be disturbed"
    [ -f "tests/cli/$name.sh" ] || complain "tests/cli/$name.sh is not there: a test of the whole program"
    [ -f "$name/main.c" ] || complain "$name/main.c is not there, but program_names in meson.build has $name"
done

# The other way: what is named is a program.
names=" $* "
known() { # WHERE NAME ...
    where=$1
    shift
    for name; do
        case "$names" in
        *" $name "*) ;;
        *) complain "$where names $name, which program_names in meson.build lacks" ;;
        esac
    done
}
known README.md $(sed -n 's/^| `sae-\([a-z]*\)` |.*/\1/p' README.md)
known docs/ARCHITECTURE.md $(sed -n 's/^    \([a-z]*\)\/ *sae-.*/\1/p' docs/ARCHITECTURE.md)
known "a main.c" $(ls -d ./*/main.c | sed 's/..\(.*\).main.c/\1/')

# Results: what a program writes, sae-report knows and docs/FORMATS.md names.
types=$({
    grep -rh 'eval_type_id = ' --include='*.c' "$@" 2>/dev/null | grep -o '"[a-z_]*"'
    grep -rhoE '"[a-z_]+", "[a-z_]+", "[a-z_]+\.json"' --include='*.c' "$@" 2>/dev/null | sed 's/,.*//'
} | tr -d '"' | sort -u)
[ -n "$types" ] || complain "no program names the eval_type_id of its results"
for type in $types; do
    want report/source.c "\.saebench = {.*\"$type\"" "a row for results of eval_type_id '$type'"
done
for suffix in $(sed -n 's/.*\.suffix = "\(.*\)\.json".*/\1/p' report/source.c); do
    grep -q "\`$suffix\`" docs/*.md || complain "no page of docs names the results \`$suffix\`"
done

# Pages and suites.
for page in docs/*.md; do
    grep -q "(\(docs/\)\{0,1\}${page#docs/})" README.md docs/ARCHITECTURE.md docs/MATH.md ||
        complain "$page is linked from neither README.md nor docs/ARCHITECTURE.md nor docs/MATH.md"
done
for suite in tests/*/; do
    suite=${suite#tests/}
    sed -n '/^    tests\//,/^    scripts/p' docs/ARCHITECTURE.md | grep -q "\b${suite%/}\b" ||
        complain "docs/ARCHITECTURE.md lacks ${suite%/} in the line of tests/"
done
exit $bad
