#!/usr/bin/env bash
# Starts or stops one node: containerd, kubelet and kube-proxy in a network and a mount namespace of their own.
#
#   node.sh start N      bring node nN up (idempotent)
#   node.sh stop N       end it at once, with all its containers: a lost node
#   node.sh cut N        take its link down: a node out of reach (pods live on)
#   node.sh mend N       bring its link up again
#   node.sh exec N CMD   run a command in the node's namespaces
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root

action=${1:?action}; n=${2:?node number}
ns=$(node_ns "$n"); ip=$(node_ip "$n"); dir=$(node_dir "$n")
cg=$E2E_NAME/n$n

network() {
    [ -e "/run/netns/$ns" ] || ip netns add "$ns"
    local veth=$E2E_NAME-v$n
    if ! ip -n "$CP_NS" link show "$veth" >/dev/null 2>&1; then
        ip -n "$CP_NS" link add "$veth" type veth peer name eth0 netns "$ns"
        ip -n "$CP_NS" link set "$veth" master nodes up
    fi
    ip -n "$ns" link set lo up
    ip -n "$ns" addr replace "$ip/24" dev eth0
    ip -n "$ns" link set eth0 up
    ip -n "$ns" route replace default via "$CP_IP"
    nsenter --net="/run/netns/$ns" sysctl -qw net.ipv4.ip_forward=1 \
        net.bridge.bridge-nf-call-iptables=1
    # The control plane routes to the node's pods; the node has a default route
    # to the control plane, which forwards between nodes.
    ip -n "$CP_NS" route replace "$POD_NET.$n.0/24" via "$ip"
}

# The mount namespace gives each node its own copy of the standard paths, and
# keeps the kubelet's hands off the machine's sysctls: it would set them once at
# start, so it is shown files that already hold the wanted values.
mounts() {
    alive "n$n-holder" && return
    mkdir -p "$dir"/{kubelet,containerd,run,cni,cni-conf,log-pods,log-containers,sysctl}
    rm -rf "${dir:?}/run"/*
    mkdir -p /var/lib/kubelet /var/lib/containerd /run/containerd /var/lib/cni \
        /etc/cni/net.d /var/log/pods /var/log/containers
    spawn "n$n-holder" "$cg/system" \
        nsenter --net="/run/netns/$ns" -- unshare --mount --propagation private -- \
        bash -eu -c '
            dir=$1
            mount --make-rshared /
            mount --bind "$dir/kubelet"        /var/lib/kubelet
            mount --bind "$dir/containerd"     /var/lib/containerd
            mount --bind "$dir/run"            /run/containerd
            mount --bind "$dir/cni"            /var/lib/cni
            mount --bind "$dir/cni-conf"       /etc/cni/net.d
            mount --bind "$dir/log-pods"       /var/log/pods
            mount --bind "$dir/log-containers" /var/log/containers
            mount -t tmpfs tmpfs /run/netns
            while read -r key value; do
                [ -e "/proc/sys/$key" ] || continue
                echo "$value" > "$dir/sysctl/${key//\//.}"
                mount --bind "$dir/sysctl/${key//\//.}" "/proc/sys/$key"
            done <<SYSCTL
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTL
            touch "$dir/mounted"
            exec sleep infinity' holder "$dir"
}

config() {
    cat > "$dir/cni-conf/10-bridge.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/var/lib/cni/networks",
            "ranges": [[{"subnet": "$POD_NET.$n.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
    # Without CAP_SYS_RESOURCE no process may get a negative OOM score, which the
    # kubelet asks of each pod's sandbox; containerd can then leave it at zero.
    local restrict_oom=false
    ( echo -1 > /proc/self/oom_score_adj ) 2>/dev/null || restrict_oom=true
    cat > "$dir/containerd.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:3"
  disable_apparmor = true
  restrict_oom_score_adj = $restrict_oom
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
TOML
    : > "$dir/resolv.conf"
    # Images come from archives only and can not be pulled again, so the kubelet
    # must never collect them.  Eviction by the node's own memory or disk is off
    # in practice; a pod's emptyDir sizeLimit still evicts that pod, and is
    # looked at every 10 s.
    cat > "$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ip
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $E2E_STATE/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $E2E_STATE/pki/n$n.crt
tlsPrivateKeyFile: $E2E_STATE/pki/n$n.key
cgroupDriver: cgroupfs
cgroupRoot: /$cg
clusterDomain: cluster.local
clusterDNS: [$CP_IP]
resolvConf: $dir/resolv.conf
failSwapOn: false
hairpinMode: hairpin-veth
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
volumeStatsAggPeriod: 10s
nodeStatusUpdateFrequency: 4s
serializeImagePulls: false
YAML
}


kill_cgroup() {  # end every process of the node: shims, containers
    local round f pid left
    for round in $(seq 50); do
        left=0
        while read -r f; do
            while read -r pid; do
                kill -KILL "$pid" 2>/dev/null && left=1
            done < "$f"
        done < <(find "/sys/fs/cgroup/pids/$cg" -name cgroup.procs 2>/dev/null)
        [ "$left" = 1 ] || return 0
        sleep 0.1
    done
}

case $action in
start)
    make_cgroup "$cg/system"
    network
    alive "n$n-holder" || rm -f "$dir/mounted"
    mounts
    wait_for 10 "node n$n: mounts" test -e "$dir/mounted"
    config
    holder=$(pid_of "n$n-holder")
    enter=(nsenter -t "$holder" -n -m --)
    spawn "n$n-containerd" "$cg/system" "${enter[@]}" \
        containerd --config "$dir/containerd.toml"
    wait_for 20 "node n$n: containerd" ctr -a "$dir/run/containerd.sock" version
    for image in "$E2E_CACHE"/image/pause.tar $(cat "$E2E_STATE/images" 2>/dev/null); do
        "$here/image.sh" load-one "$n" "$image"
    done
    spawn "n$n-kubelet" "$cg/system" "${enter[@]}" \
        "$E2E_CACHE/bin/kubelet" --config "$dir/kubelet.yaml" \
        --kubeconfig "$E2E_STATE/n$n.kubeconfig" \
        --container-runtime=remote \
        --container-runtime-endpoint=unix:///run/containerd/containerd.sock \
        --hostname-override="n$n" --node-ip="$ip" --v=1
    spawn "n$n-proxy" "$cg/system" "${enter[@]}" \
        "$E2E_CACHE/bin/kube-proxy" --kubeconfig "$E2E_STATE/proxy.kubeconfig" \
        --hostname-override="n$n" --cluster-cidr="$POD_NET.0.0/16" \
        --proxy-mode=iptables --conntrack-max-per-core=0 \
        --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 \
        --iptables-min-sync-period=0s --healthz-bind-address=127.0.0.1:10256 --v=1
    ;;
stop)
    for p in proxy kubelet containerd; do stop "n$n-$p" KILL; done
    stop "n$n-holder" KILL
    kill_cgroup
    ! [ -e "/run/netns/$ns" ] || ip netns del "$ns"
    remove_cgroup "$cg"
    ;;
cut) ip -n "$CP_NS" link set "$E2E_NAME-v$n" down ;;
mend) ip -n "$CP_NS" link set "$E2E_NAME-v$n" up ;;
exec) shift 2; in_node "$n" "$@" ;;
*) die "unknown action $action" ;;
esac
