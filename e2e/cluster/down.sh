#!/usr/bin/env bash
# Takes the cluster down and removes all of its state, but for the cache.
#
#   down.sh --keep-images   keeps the nodes' image stores, for a faster next start
#
# Ends only what up.sh started: by pid file, and by the cluster's own cgroups.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root

for p in s3-forward s3-rgw s3-osd s3-mon forward dns scheduler controller-manager; do stop "$p"; done
for d in "$E2E_STATE"/n[1-9]; do
    [ ! -d "$d" ] || "$here/node.sh" stop "${d##*/n}"
done
stop apiserver; stop etcd
! [ -e "/run/netns/$CP_NS" ] || ip netns del "$CP_NS"
remove_cgroup "$E2E_NAME"
if [ "${1:-}" = --keep-images ]; then
    find "$E2E_STATE" -mindepth 1 -maxdepth 1 ! -name 'n[1-9]' ! -name images ! -name '*.tar' -exec rm -rf {} +
    for d in "$E2E_STATE"/n[1-9]; do
        [ ! -d "$d" ] || find "$d" -mindepth 1 -maxdepth 1 ! -name containerd -exec rm -rf {} +
    done
else
    rm -rf "${E2E_STATE:?}"
fi
say "down"
