#!/bin/bash
# SPDX-License-Identifier: MIT
# Every call of every kind fails once, in every work: hours. tests/inject/all.sh BUILD [NAME ...]
# A number in EACH takes so many calls of a kind: EACH=20 tests/inject/all.sh build
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
shift
exec bash "$root/tests/inject/inject.sh" "$build" "$root" "${EACH:-all}" "${SEED:-1}" "$@"
