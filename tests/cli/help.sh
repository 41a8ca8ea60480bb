#!/bin/sh
# Every program: help in its forms, version, wrong options, a full standard output.
# Usage: help.sh BUILD_ROOT NAME ...
set -u
build=$1
shift
bad=0
complain() { echo "$*"; bad=1; }

for tool; do
    p=$build/$tool/sae-$tool
    [ -x "$p" ] || { complain "no $p"; continue; }
    out=$("$p" --help) || complain "$tool --help failed"
    for part in "sae-$tool - " "Usage: sae-$tool" "Examples:" "--help=all"; do
        case "$out" in *"$part"*) ;; *) complain "$tool --help lacks '$part'" ;; esac
    done
    [ "$(printf '%s\n' "$out" | wc -l)" -le 50 ] || complain "$tool --help is longer than a screen"
    printf '%s\n' "$out" | awk 'length > 100 { exit 1 }' || complain "$tool --help has long lines"
    all=$("$p" --help=all) || complain "$tool --help=all failed"
    for name in --threads --force --json --config --version; do
        case "$all" in *"$name"*) ;; *) complain "$tool --help=all lacks $name" ;; esac
    done
    "$p" --help=man | grep -q '^\.SH OPTIONS' || complain "$tool --help=man has no OPTIONS"
    "$p" --help=bash | grep -q "^complete .* sae-$tool\$" || complain "$tool --help=bash is wrong"
    "$p" --version | grep -q "^sae-$tool (saekit) [0-9]" || complain "$tool --version is wrong"
    # Every option of the table is in the man page, and --print-config can be read back.
    config=$(mktemp)
    "$p" --print-config >"$config" || complain "$tool --print-config failed"
    "$p" --config "$config" --print-config | cmp -s - "$config" || complain "$tool --config differs"
    rm -f "$config"
    err=$("$p" --no-such-option 2>&1 >/dev/null)
    [ $? = 2 ] || complain "$tool: a wrong option does not give status 2"
    case "$err" in "sae-$tool: unknown option"*) ;; *) complain "$tool says '$err'" ;; esac
    [ "$(printf '%s\n' "$err" | wc -l)" = 1 ] || complain "$tool: more than one line of complaint"
    "$p" --help >/dev/full 2>/dev/null && complain "$tool: a full standard output is not noticed"
done

# A machine without a device hears nothing of devices, unless it asks.
if [ ! -e /dev/nvidiactl ] && [ ! -e /dev/dxg ]; then
    err=$("$build/train/sae-train" --acts nowhere -o nothing 2>&1)
    case "$err" in *NVIDIA* | *cuda*) complain "without a driver sae-train says '$err'" ;; esac
fi
exit $bad
