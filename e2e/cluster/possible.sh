#!/usr/bin/env bash
# Whether this machine can carry the cluster. Where it cannot it says why in one line, and ends with 1.
#
# What it needs is tried, not guessed: containers often are root without its rights.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

no() { echo "$*"; exit 1; }

[ "$(id -u)" = 0 ] || no "it needs root, for network namespaces"
[ "$(uname -m)" = x86_64 ] || no "it is built for x86-64 only, and this is $(uname -m)"
grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || no "it is made of Debian 12's packages, and this is another system"
command -v apt-get >/dev/null || no "there is no apt-get"
for controller in memory pids cpu cpuset; do
    probe=/sys/fs/cgroup/$controller/shuffle-probe-$$
    { mkdir "$probe" && rmdir "$probe"; } 2>/dev/null || no "it needs cgroup v1's $controller controller, and the right to make groups in it"
done
unshare --net --mount true 2>/dev/null || no "no namespaces may be made here"
[ -e /dev/kmsg ] || no "there is no /dev/kmsg, which the kubelet wants"

mkdir -p "$E2E_CACHE"
work=$(mktemp -d "$E2E_CACHE/probe.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{lower,upper,scratch,merged}
unshare --mount mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/scratch" \
    "$work/merged" 2>/dev/null || no "no overlay file system may be mounted here"

free_mib() { awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo; }
[ "$(free_mib)" -ge 5000 ] || no "it needs 5 GiB of memory, and $(free_mib) MiB are free"
free_gib() { df --output=avail -BG "$1" | tail -1 | tr -dc 0-9; }
for folder in "$E2E_CACHE" /var/lib; do
    [ "$(free_gib "$folder")" -ge 12 ] || no "it needs 12 GiB of disk at $folder, and $(free_gib "$folder") are free"
done
