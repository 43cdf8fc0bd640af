# Settings and helpers of the scripts in this folder, which source it.
# shellcheck shell=bash
#
# Everything that can be set from the environment:
E2E_CACHE=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shuffle-operator-e2e}  # binaries, image layers: made once
E2E_STATE=${E2E_STATE:-/var/lib/shuffle-e2e}  # all of the running cluster's state; removed by down.sh
E2E_NAME=${E2E_NAME:-shuffle}                 # prefix of network namespaces, cgroups and links (at most 11 letters)
E2E_NODES=${E2E_NODES:-2}                     # nodes, 1 to 9
E2E_API_PORT=${E2E_API_PORT:-26443}           # the API server's port on the caller's loopback
export E2E_CACHE E2E_STATE E2E_NAME E2E_NODES E2E_API_PORT

# Addresses. They exist only inside the network namespaces that up.sh makes.
CP_IP=10.200.0.1            # control plane, DNS, and the S3 server
POD_NET=10.201              # node N has $POD_NET.N.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
CP_NS=$E2E_NAME-cp

PATH=$E2E_CACHE/bin:$PATH   # helm and kubectl of tools/helm.py

node_ns() { echo "$E2E_NAME-n$1"; }
node_ip() { echo "10.200.0.$((10 + $1))"; }
node_dir() { echo "$E2E_STATE/n$1"; }

say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { printf '[%s] error: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "needs root, for network namespaces; or set KUBECONFIG to a cluster of yours"; }

install_packages() { # install_packages PACKAGE...: of Debian
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 --no-install-recommends "$@" >/dev/null || die "cannot install $*"
}

debian_mirror() { # the archive that apt is set up with; sources are looked for there too
    apt-get indextargets --format '$(CREATED_BY)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' \
        | awk -F'|' '$1 == "Packages" && $2 == "bookworm" && $3 == "main" {print $4; exit}'
}

# --- processes -------------------------------------------------------------------------------------------------------
# A process is known by a file that holds its pid and its start time: a pid that was given out again is never taken
# for ours.
start_time() { awk '{sub(/.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null; }

alive() { # alive NAME
    local pid start
    read -r pid start 2>/dev/null <"$E2E_STATE/pid/$1" || return 1
    [ -n "$pid" ] && [ "$(start_time "$pid")" = "$start" ]
}

pid_of() { alive "$1" && cut -d' ' -f1 "$E2E_STATE/pid/$1"; }

spawn() { # spawn NAME CGROUP COMMAND...: nothing where NAME runs already
    local name=$1 cgroup=$2 pid
    shift 2
    alive "$name" && return 0
    (
        for controller in memory pids; do
            echo "$BASHPID" >"/sys/fs/cgroup/$controller/$cgroup/cgroup.procs"
        done
        exec setsid "$@" </dev/null >>"$E2E_STATE/log/$name.log" 2>&1
    ) &
    pid=$!
    echo "$pid $(start_time "$pid")" >"$E2E_STATE/pid/$name"
    disown "$pid" 2>/dev/null || true
}

stop() { # stop NAME [SIGNAL]: ends one process of ours; after 10 s at once
    local pid
    pid=$(pid_of "$1") || { rm -f "$E2E_STATE/pid/$1"; return 0; }
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 100); do alive "$1" || break; sleep 0.1; done
    ! alive "$1" || kill -KILL "$pid" 2>/dev/null || true
    rm -f "$E2E_STATE/pid/$1"
}

wait_for() { # wait_for SECONDS WHAT COMMAND...
    local limit=$(($1 * 5)) what=$2
    shift 2
    for ((i = 0; i < limit; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    die "$what: not ready in time; logs in $E2E_STATE/log"
}

# --- namespaces ------------------------------------------------------------------------------------------------------
# nsenter --net and not `ip netns exec`: the latter hides the cgroup mounts.
in_cp() { nsenter --net="/run/netns/$CP_NS" -- "$@"; }

in_node() { # in_node N COMMAND...: in the node's network and mount namespaces
    local holder
    holder=$(pid_of "n$1-holder") || die "node n$1 is not up"
    shift
    nsenter -t "$holder" -n -m -- "$@"
}

# --- cgroups (v1: the kubelet of 1.20 knows no other) ------------------------------------------------------------------
cgroup_controllers() {
    local d
    for d in /sys/fs/cgroup/*/; do
        d=$(basename "$d")
        case $d in unified) ;; *) [ -L "/sys/fs/cgroup/$d" ] || echo "$d" ;; esac
    done
}

make_cgroup() { # make_cgroup PATH, in every controller
    local controller part dir parent
    for controller in $(cgroup_controllers); do
        dir=/sys/fs/cgroup/$controller
        for part in ${1//\// }; do
            parent=$dir dir=$dir/$part
            [ -d "$dir" ] || mkdir "$dir"
            # A new cpuset is empty, and a process cannot enter it before it is filled.
            if [ "$controller" = cpuset ] && [ -z "$(cat "$dir/cpuset.cpus")" ]; then
                cat "$parent/cpuset.cpus" >"$dir/cpuset.cpus"
                cat "$parent/cpuset.mems" >"$dir/cpuset.mems"
            fi
        done
    done
    # All pods together would have the weight of one process, and starve on a busy machine.
    echo 4096 >"/sys/fs/cgroup/cpu/$E2E_NAME/cpu.shares"
}

remove_cgroup() { # remove_cgroup PATH
    local controller
    for controller in $(cgroup_controllers); do
        [ ! -d "/sys/fs/cgroup/$controller/$1" ] || find "/sys/fs/cgroup/$controller/$1" -depth -type d \
            | while read -r d; do rmdir "$d" 2>/dev/null || true; done
    done
}

kubectl_admin() { kubectl --kubeconfig "$E2E_STATE/admin.kubeconfig" "$@"; }
