#!/bin/bash
# The first hour of a newcomer, on a Debian 12 that has nothing installed: a root made with
# debootstrap (minbase; no locale, mawk), the tree copied into it without its git folder, and in it
#
#   (no option)   README's "Installing", then a harvest, a training and a report with what was
#                 installed, as an ordinary user
#   --full        ./demo.sh and ./test.sh, as root
#   --user        ./demo.sh, as an ordinary user who has sudo
#   --quick       with either: ./demo.sh --quick, and ./test.sh --quick
#   --keep        leave the root behind and name it
#   --cache DIR   where roots are made and their base is kept (/var/cache/saekit-fresh)
#
# Needs root, debootstrap, and an apt whose sources have Debian 12; status 77 where one is not there.
# Everything runs in a mount namespace of its own where the system permits that: mounts end with
# it, however the script ends.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
what=short quick='' keep='' cache=/var/cache/saekit-fresh
while [ $# -gt 0 ]; do
    case "$1" in
    --full) what=full ;;
    --user) what=user ;;
    --quick) quick=--quick ;;
    --keep) keep=1 ;;
    --cache) cache=${2:?--cache DIR} && shift ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

say() { printf 'fresh root: %s\n' "$*"; }
cannot() { say "left out: $*"; exit 77; }
[ "$(id -u)" = 0 ] || cannot "it takes root to make one"
command -v debootstrap >/dev/null || cannot "debootstrap is not installed"

namespace=(unshare --mount --pid --fork --kill-child)
"${namespace[@]}" mount -t proc proc /proc 2>/dev/null || namespace=() # then without any mount

# Debian 12 as this machine's own apt knows it: "URI SUITE", one a line.
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' |
    awk '$2 ~ /^bookworm/ && $3 == "main" && $4 == "Packages" { print $1, $2 }' | sort -u)
mirror=$(echo "$sources" | awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || cannot "apt's sources have no Debian 12 (bookworm)"

mkdir -p "$cache"
if [ ! -f "$cache/base.tar" ]; then
    say "making the base"
    base=$(mktemp -d "$cache/base.XXXXXX")
    trap 'rm -rf --one-file-system "$base"' EXIT
    if ! "${namespace[@]}" debootstrap --variant=minbase bookworm "$base" "$mirror" >"$base.log" 2>&1; then
        tail -n 20 "$base.log"
        rm -f "$base.log"
        cannot "debootstrap failed; see above"
    fi
    tar -C "$base" --numeric-owner -cf "$base.tar" .
    mv "$base.tar" "$cache/base.tar"
    rm -rf --one-file-system "$base" "$base.log"
fi

root=$(mktemp -d "$cache/root.XXXXXX")
trap '[ -n "$keep" ] && say "kept: $root" || rm -rf --one-file-system "$root"' EXIT
tar -C "$root" --numeric-owner -xf "$cache/base.tar"
chmod 755 "$root" # mktemp makes a folder that only root may enter

# The way to the network is the machine's own: sources, proxy, certificates, names.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
echo "$sources" | sed 's/.*/deb & main/' >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|Force)' >"$root/etc/apt/apt.conf.d/50machine" || true
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
for place in /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates; do
    [ -e "$place" ] || continue
    mkdir -p "$root${place%/*}"
    cp -RL "$place" "$root${place%/*}/"
done
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service is started in a root
chmod 755 "$root/usr/sbin/policy-rc.d"

# The tree as one unpacks it: no git folder, nothing built.
copy_tree() { # WHERE
    mkdir -p "$root$1"
    if git -C "$tree" rev-parse --git-dir >/dev/null 2>&1; then
        (cd "$tree" && git ls-files -z -co --exclude-standard | tar --null --ignore-failed-read -T - -cf - 2>/dev/null)
    else
        tar -C "$tree" --exclude=./.git --exclude='./build*' --exclude=./demo -cf - .
    fi | tar -C "$root$1" --no-same-owner -xf -
}

# Runs a script in the root, with nothing of this environment but the proxy.
inside() { # USER SCRIPT
    local variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$(home "$1")")
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name:-}" ] || variables+=("$name=${!name}")
    done
    "${namespace[@]}" bash -c '
        root=$1 user=$2 script=$3 mounts=$4
        shift 4
        if [ "$mounts" != 0 ]; then
            mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit
        fi
        exec chroot --userspec="$user" "$root" env -i "$@" sh -ec "cd; $script"' \
        inside "$root" "$1" "$2" ${#namespace[@]} "${variables[@]}" </dev/null
}
home() { [ "$1" = root ] && echo /root || echo "/home/$1"; }

short() {
    copy_tree /root/saekit
    say "packages, build and install, as README has them"
    inside root 'cd saekit; ./packages.sh build; meson setup build --buildtype=release; ninja -C build install'
    inside root 'useradd -m ann'
    say "a harvest, a training and a report by an ordinary user"
    inside ann '
        data=/usr/local/share/saekit
        sae-harvest --model $data/tiny-g2 --layer 3 --text $data/texts/prose.jsonl.zst --tokens 20k -o acts
        sae-train --acts acts --arch topk --k 8 --m 256 --batch 256 --lr 1e-3 -o run_1
        sae-analyze run_1 >analyze.txt
        sae-report run_1 >notes.txt
        test -s analyze.txt
        grep run_1 notes.txt
        ls run_1/charts/*.svg report_charts/*.svg
        ls /usr/local/share/man/man1/sae-train.1 $data/docs/MATH.md $data/README.md'
}
full() {
    copy_tree /root/saekit
    say "./demo.sh as root"
    inside root "cd saekit; ./demo.sh $quick"
    say "./test.sh as root"
    inside root "cd saekit; ./test.sh $quick"
}
user() {
    inside root 'apt-get -q update; apt-get -q -y install --no-install-recommends sudo
        useradd -m ann; echo "ann ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ann' >/dev/null
    copy_tree /home/ann/saekit
    inside root 'chown -R ann:ann /home/ann/saekit'
    say "./demo.sh as an ordinary user"
    inside ann "cd saekit; ./demo.sh $quick"
}

"$what"
say "passed"
