#!/usr/bin/env bash
# The core of e2e/ on a cluster of its own, which is taken down afterwards, and three short rounds of chaos where that
# went quickly enough: for .ci/run, before the unit tests.
#
# Ends with 0 where the tests pass, and where the machine cannot carry the cluster, which is said in one line; with 1
# where a test fails twice. Nothing is shared with another cluster on this machine but the cache.
#
# E2E_MINUTES   for the cluster to be there (13): the first time Kubernetes is compiled
set -euo pipefail
cd "$(dirname "$0")/.."

why=$(e2e/cluster/possible.sh) || { echo "e2e: not run, for this machine cannot carry the cluster: $why"; exit 0; }

free_port() { .venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
runs=/var/lib/shuffle-e2e-runs
cluster() { export E2E_NAME=ci$1 E2E_STATE=$runs/$1; } # of the run with this process id

down() { e2e/cluster/down.sh >/dev/null 2>&1 || echo "e2e: the cluster in $E2E_STATE could not be taken down"; }

# What runs that were killed left behind.
mkdir -p "$runs"
for left in "$runs"/*; do
    [ ! -d "$left" ] || [ -d "/proc/${left##*/}" ] || (cluster "${left##*/}" && down)
done

unset KUBECONFIG
cluster $$
E2E_API_PORT=$(free_port) E2E_S3_PORT=$(free_port) E2E_KEEP=1
export E2E_API_PORT E2E_S3_PORT E2E_KEEP
mkdir -p "$E2E_STATE"
trap down EXIT
trap 'exit 130' INT TERM

log=$(mktemp)
start=$SECONDS
made=0
timeout --kill-after=30 "${E2E_MINUTES:-13}m" .venv/bin/python -m e2e.harness.make >"$log" 2>&1 || made=$?
if [ "$made" != 0 ]; then
    why=$(grep . "$log" | tail -1 | cut -c1-300)
    [ "$made" != 124 ] || why="it takes longer than ${E2E_MINUTES:-13} minutes"
    echo "e2e: not run, for the cluster could not be made in $((SECONDS - start)) s: $why"
    rm "$log"
    exit 0
fi
rm "$log"
echo "e2e: the cluster was made in $((SECONDS - start)) s"

pytest() { timeout --kill-after=30 15m .venv/bin/pytest -v --durations=0 -o cache_dir="$E2E_STATE/pytest" "$@"; }
twice() {
    pytest "$@" && return
    echo "e2e: what failed is tried once more"
    pytest "$@" --last-failed
}
twice e2e -m core
if [ $((SECONDS - start)) -gt 420 ]; then
    echo "e2e: no chaos, for all this has taken $((SECONDS - start)) s already; \`make e2e\` runs it"
    exit 0
fi
export E2E_CHAOS_STRIKES=4
twice e2e/test_chaos.py -s
