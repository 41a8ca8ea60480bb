#!/bin/bash
# Runs a long command with its output in a file, and shows that it lives: on a terminal the latest
# line of the output in one line that changes, elsewhere that line every ten seconds. Where the
# command fails, the end of its output is shown.
#
# usage: follow.sh LOG COMMAND ...
set -u
log=${1:?usage: follow.sh LOG COMMAND ...}
shift
mkdir -p "$(dirname "$log")"

"$@" >"$log" 2>&1 </dev/null &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM HUP

if [ -t 2 ]; then every=1; else every=10; fi
columns=$(tput cols 2>/dev/null || echo 80)
latest() { tail -c 2000 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | tr -cd '[:print:]' | cut -c "1-$((columns - 12))"; }
began=$SECONDS shown=$SECONDS
while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - shown)) -ge $every ] || continue
    shown=$SECONDS
    if [ -t 2 ]; then
        printf '\r\033[K%5d s  %s' $((SECONDS - began)) "$(latest)" >&2
    else
        printf '%5d s  %s\n' $((SECONDS - began)) "$(latest)" >&2
    fi
done
wait "$pid"
status=$?
[ ! -t 2 ] || printf '\r\033[K' >&2
if [ $status != 0 ]; then
    tail -n 60 "$log" >&2
    echo "failed with status $status: $* (all of it: $log)" >&2
fi
exit $status
