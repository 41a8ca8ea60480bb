#!/bin/sh
# Programs hold neither the place they were built in nor the way from there to the sources, so that
# folders of any name build equal bytes. Where libraries are looked for at run time, as seen from the
# program ($ORIGIN), is no such place.
# Usage: places.sh BUILD_ROOT SOURCE_ROOT
set -u
build=$(realpath "$1") source=$(realpath "$2")
way=$(realpath --relative-to "$build" "$source")
bad=0
for program in "$build"/*/sae-*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    for place in "$build" "$source" "$way/lib/" "$way/${program#"$build"/sae-}"; do
        tr '\0' '\n' <"$program" | grep -avF '$ORIGIN/' | grep -qaF -- "$place" &&
            { echo "$program holds '$place'"; bad=1; }
    done
    seen=1
done
[ "${seen:-0}" = 1 ] || { echo "no program in '$build'"; bad=1; }
exit $bad
