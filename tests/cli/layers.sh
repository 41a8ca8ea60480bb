#!/bin/sh
# Checks the direction of every include against the table in docs/ARCHITECTURE.md, and that unit tests lie
# as the code does.
# Usage: layers.sh SOURCE_ROOT
set -eu
cd "$1"
table=$(sed -n 's/^    \([a-z]* *: .*\)$/\1/p' docs/ARCHITECTURE.md)
[ -n "$table" ] || { echo "no table of layers in docs/ARCHITECTURE.md"; exit 1; }
bad=0
folder_of() {
    case "$1" in
    base | math | file | text | cli | sae | eval) echo "lib/$1" ;;
    *) echo "$1" ;;
    esac
}
# Include paths start at the root: "lib/base/err.h" -> base, "lm/lm.h" -> lm.
check_layer() {
    layer=$1 allowed=" $2 "
    for found in $(grep -rhoE '#include "[a-z0-9_/]+/[a-z0-9_]+\.h"' --include='*.[ch]' --include='*.cc' \
        "$(folder_of "$layer")" | sed 's/.*"\(.*\)".*/\1/' | sort -u); do
        name=${found#lib/}
        name=${name%%/*}
        case "$allowed" in
        *" $name "*) ;;
        *) echo "$layer includes $found, which ARCHITECTURE.md does not allow" && bad=1 ;;
        esac
    done
}
while read -r layer colon allowed; do
    [ "$colon" = : ] && [ -d "$(folder_of "$layer")" ] || continue
    check_layer "$layer" "$allowed"
done <<END
$table
END
# Evaluations without a row of their own.
for name in $(grep -l '"lib/eval/evaluate.h"' ./*/*.[ch] | cut -d/ -f2 | sort -u); do
    echo "$table" | grep -q "^$name *:" ||
        check_layer "$name" "$name $(echo "$table" | sed -n 's/^evaluation *: //p')"
done
others=$(grep -rlE '#include <hdf5' --include='*.[ch]' --include='*.cc' ./*/ |
    grep -v '^./lib/file/h5_inner.h$\|^./tests/\|^./build' || true)
[ -z "$others" ] || { echo "only lib/file/h5_inner.h may include hdf5.h, but so do: $others"; bad=1; }
for file in tests/unit/*/*.c; do
    room=${file#tests/unit/} name=${file##*/test_}
    room=${room%%/*} name=${name%.c}
    [ "$room" != fixtures ] || continue
    case "$file" in
    */test_*) ;;
    *) echo "$file: a unit test is named test_FILE.c, and what tests share lies in tests/unit/fixtures"; bad=1 ;;
    esac
    folder=$(folder_of "$room")
    [ -d "$folder" ] || { echo "$file: there is no $folder that it could test"; bad=1; }
    case "$name" in
    "$room" | "$room"_*) ;;
    *) [ -f "$folder/$name.c" ] || [ -f "$folder/$name.h" ] ||
        ls "$folder"/*/"$name.c" >/dev/null 2>&1 || {
        echo "$file: $folder has no $name.c: name the file it tests, or $room where it is several"
        bad=1
    } ;;
    esac
done
exit $bad
