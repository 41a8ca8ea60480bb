# SPDX-License-Identifier: MIT
# A command that must end with a status and with one line of error that has this text. complain() is the
# caller's. Sourced by tests.
refused() { # STATUS TEXT COMMAND...
    want=$1 text=$2
    shift 2
    out=$("$@" 2>&1 >/dev/null)
    got=$?
    [ $got = "$want" ] || complain "status $got, not $want: $*"
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || complain "more than one line: $out"
    case "$out" in *"$text"*) ;; *) complain "'$*' does not say '$text': $out" ;; esac
}
