#!/bin/sh
# scripts/follow.sh: a long step is heard of, a failed one shows why; packages.sh refuses what it does not know.
# Usage: follow.sh SOURCE_ROOT
set -u
source=$(realpath "$1")
follow="bash $source/scripts/follow.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0
complain() { echo "$*"; bad=1; }

out=$($follow logs/a sh -c 'echo made; echo "a warning" >&2' 2>&1) || complain "a command that works fails"
[ -z "$out" ] || complain "a short command is talked of: $out"
printf 'made\na warning\n' | cmp -s - logs/a || complain "the log holds: $(cat logs/a)"

out=$($follow b sh -c 'echo the reason; exit 3' 2>&1)
[ $? = 3 ] || complain "another status than the command's"
case "$out" in *"the reason"*"status 3"*) ;; *) complain "a failure says: $out" ;; esac

# A command longer than the pause between two lines is heard of, with its latest line.
out=$($follow c sh -c 'echo "[1/2] one"; echo "[2/2] two"; sleep 11' 2>&1)
case "$out" in *" s  [2/2] two"*) ;; *) complain "eleven seconds of silence: '$out'" ;; esac

# Interrupted, it ends what it runs.
$follow d sh -c 'echo $$ >child; exec sleep 300' &
follower=$!
while [ ! -s child ]; do sleep 0.1; done
kill -TERM $follower
wait $follower
[ $? = 130 ] || complain "interrupted: another status than 130"
kill -0 "$(cat child)" 2>/dev/null && complain "interrupted: the command goes on"

"$source/packages.sh" nonsense 2>err && complain "packages.sh takes any word"
grep -q '^usage:' err || complain "packages.sh says: $(cat err)"

# Without a network, what is optional stops nothing; what is needed does.
mkdir bin
for tool in apt-get sudo; do
    printf '#!/bin/sh\nexit 100\n' >bin/$tool
done
printf '#!/bin/sh\ncase "$*" in *"$LACKS"*) exit 1 ;; esac\nprintf "install ok installed"\n' >bin/dpkg-query
chmod +x bin/*
LACKS=libsnappy-dev PATH=$PWD/bin:$PATH "$source/packages.sh" build 2>err ||
    complain "packages.sh stops without libsnappy-dev: $(cat err)"
grep -q 'without libsnappy-dev Parquet files' err || complain "packages.sh says: $(cat err)"
LACKS=libhdf5-dev PATH=$PWD/bin:$PATH "$source/packages.sh" build 2>err && complain "packages.sh goes on without HDF5"
exit $bad
