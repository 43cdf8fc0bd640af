#!/usr/bin/env bash
# Brings a cluster up: a control plane and E2E_NODES nodes, each in network namespaces of its own, in about 25 s.
# Can be run again: it starts what is missing, and adds nodes. Settings are at the head of lib.sh.
#
#   caller              127.0.0.1:$E2E_API_PORT ---- forward.py ----+
#   netns shuffle-cp    10.200.0.1   bridge "nodes"                 |  etcd, apiserver:6443, controllers, DNS:53, S3:7480
#   netns shuffle-n1    10.200.0.11  pods 10.201.1.0/24                containerd, kubelet, kube-proxy
#   netns shuffle-n2    10.200.0.12  pods 10.201.2.0/24                ...
#   services            10.96.0.0/16
#
# Pods reach nothing outside of these namespaces, and the machine's own interface is not used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root
start=$SECONDS

[ -d /sys/fs/cgroup/memory ] || die "needs cgroup v1 controllers under /sys/fs/cgroup (hybrid is fine)"
"$here/build.sh"

# 1. The programs: Kubernetes from the cache, the rest from Debian.
missing=()
while read -r command package; do
    command -v "$command" >/dev/null || [ -e "$command" ] || missing+=("$package")
done <<LIST
etcd etcd-server
containerd containerd
runc runc
/usr/lib/cni/bridge containernetworking-plugins
iptables iptables
conntrack conntrack
ipset ipset
ip iproute2
ethtool ethtool
socat socat
openssl openssl
nsenter util-linux
mount mount
sysctl procps
gcc gcc
/usr/lib/x86_64-linux-gnu/libc.a libc6-dev
LIST
[ ${#missing[@]} -eq 0 ] || { say "installing ${missing[*]}"; install_packages "${missing[@]}"; }
[ -x "$E2E_CACHE/bin/kubectl" ] || "${PYTHON:-$here/../../.venv/bin/python}" "$here/../../tools/helm.py" >/dev/null

mkdir -p "$E2E_STATE"/{pid,log}
make_cgroup "$E2E_NAME/system"
"$here/pki.sh"
"$here/image.sh" pause

# 2. The control plane's network namespace, with the bridge that joins the nodes.
[ -e "/run/netns/$CP_NS" ] || ip netns add "$CP_NS"
ip -n "$CP_NS" link set lo up
ip -n "$CP_NS" link show nodes >/dev/null 2>&1 || ip -n "$CP_NS" link add nodes type bridge
ip -n "$CP_NS" addr replace "$CP_IP/24" dev nodes
ip -n "$CP_NS" link set nodes up
in_cp sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0

# 3. The control plane.
cp=(nsenter --net="/run/netns/$CP_NS" --)
pki=$E2E_STATE/pki
cg=$E2E_NAME/system

# What service accounts ask of the API server is logged: e2e/ counts the operator's requests.
cat >"$E2E_STATE/audit.yaml" <<YAML
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
YAML

spawn etcd "$cg" "${cp[@]}" etcd --name "$E2E_NAME" --data-dir "$E2E_STATE/etcd" \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$E2E_NAME=http://127.0.0.1:2380" --log-level warn --logger zap \
    --auto-compaction-retention 5m --auto-compaction-mode periodic

spawn apiserver "$cg" "${cp[@]}" "$E2E_CACHE/bin/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$CP_IP" --bind-address=0.0.0.0 --secure-port=6443 \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --client-ca-file="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" \
    --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" \
    --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range="$SERVICE_CIDR" \
    --authorization-mode=Node,RBAC --anonymous-auth=true \
    --enable-admission-plugins=NodeRestriction \
    --default-not-ready-toleration-seconds=20 --default-unreachable-toleration-seconds=20 \
    --allow-privileged=true --event-ttl=2h \
    --audit-policy-file="$E2E_STATE/audit.yaml" --audit-log-path="$E2E_STATE/log/audit.log" \
    --profiling=false --v=1

api_ready() { in_cp kubectl --kubeconfig "$E2E_STATE/admin-inside.kubeconfig" get --raw /readyz; }
wait_for 90 "kube-apiserver" api_ready

spawn controller-manager "$cg" "${cp[@]}" "$E2E_CACHE/bin/kube-controller-manager" \
    --kubeconfig="$E2E_STATE/controller-manager.kubeconfig" \
    --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/sa.key" \
    --use-service-account-credentials=true --leader-elect=false \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --node-monitor-period=2s --node-monitor-grace-period=16s \
    --bind-address=127.0.0.1 --profiling=false --v=1
spawn scheduler "$cg" "${cp[@]}" "$E2E_CACHE/bin/kube-scheduler" \
    --kubeconfig="$E2E_STATE/scheduler.kubeconfig" --leader-elect=false \
    --bind-address=127.0.0.1 --profiling=false --v=1
spawn dns "$cg" "${cp[@]}" "$(command -v python3)" "$here/dns.py" "$CP_IP" "https://$CP_IP:6443" \
    "$pki/ca.crt" "$pki/dns.crt" "$pki/dns.key"

# 4. The API server on the caller's loopback.
spawn forward "$cg" "$(command -v python3)" "$here/forward.py" \
    "127.0.0.1:$E2E_API_PORT" "/run/netns/$CP_NS" "$CP_IP:6443"

# 5. Nodes.
starting=()
for n in $(seq "$E2E_NODES"); do "$here/node.sh" start "$n" & starting+=($!); done
for pid in "${starting[@]}"; do wait "$pid" || die "a node did not start; logs in $E2E_STATE/log"; done
# Services are translated on the nodes; from the control plane they are reached
# by way of the first one.
ip -n "$CP_NS" route replace "$SERVICE_CIDR" via "$(node_ip 1)"
for n in $(seq "$E2E_NODES"); do
    node_ready() { kubectl_admin wait --for=condition=Ready "node/n$n" --timeout=1s; }
    wait_for 90 "node n$n" node_ready
done
default_account() { kubectl_admin -n default get serviceaccount default -o 'jsonpath={.secrets[0].name}' | grep -q .; }
wait_for 30 "the default service account" default_account

say "up in $((SECONDS - start)) s; export KUBECONFIG=$E2E_STATE/admin.kubeconfig"
