#!/bin/sh
# Holds results against the fields of SAEBench's own models (tests/golden/saebench.py).
# Usage: saebench.sh SOURCE_ROOT RESULT.json ...
set -u
rules=$1/tests/golden/saebench.json
shift
bad=0
for file in "$@"; do
    wrong=$(jq -r --slurpfile rules "$rules" '
        def kinds: if . == null then ["null"] elif type == "boolean" then ["boolean"]
            elif type == "number" then (if . == floor then ["integer", "number"] else ["number"] end)
            else [type] end;
        # every value at a path, "[]" meaning each entry; nothing where it ends before
        def at($path): if ($path | length) == 0 then .
            elif $path[0] == "[]" then (arrays | .[] | at($path[1:]))
            else (objects | select(has($path[0])) | .[$path[0]] | at($path[1:])) end;
        . as $root | .eval_type_id as $type | $rules[0][$type] as $list
        | if $list == null then "no evaluation of SAEBench: \($type)" else
            $list[] | . as $rule
            | ($rule.path | if .[-1] == "[]" then . else .[:-1] end) as $above
            | ($root | [at($above)]) as $parents
            | ( if $rule.required and $rule.path[-1] != "[]" then
                  $parents[] | select(type == "object" and (has($rule.path[-1]) | not))
                  | "\($rule.path | join(".")) is missing" else empty end ),
              ( $root | at($rule.path) | kinds as $got
                | select(($rule.types | length) > 0 and (($got - ($got - $rule.types)) | length) == 0)
                | "\($rule.path | join(".")) is \($got[0]), expected \($rule.types | join(" or "))" )
          end' "$file" 2>&1) || wrong="jq failed: $wrong"
    [ -z "$wrong" ] || { echo "$file: $wrong"; bad=1; }
done
exit $bad
