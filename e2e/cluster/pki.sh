#!/usr/bin/env bash
# Makes the cluster's keys, certificates and kubeconfigs in $E2E_STATE, once. Called by up.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

pki=$E2E_STATE/pki
mkdir -p "$pki"; chmod 700 "$pki"

newkey() { [ -s "$1" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }

# The CA that signs everything.
newkey "$pki/ca.key"
[ -s "$pki/ca.crt" ] || openssl req -x509 -new -key "$pki/ca.key" -days 3650 \
    -subj "/CN=$E2E_NAME-ca" -out "$pki/ca.crt"

# cert FILE SUBJECT [SUBJECT_ALT_NAMES]
cert() {
    local f=$pki/$1
    [ -s "$f.crt" ] && return
    newkey "$f.key"
    openssl req -new -key "$f.key" -subj "$2" -out "$f.csr"
    openssl x509 -req -in "$f.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial \
        -days 3650 -out "$f.crt" 2>/dev/null \
        -extfile <(echo "extendedKeyUsage=serverAuth,clientAuth"
                   [ -z "${3:-}" ] || echo "subjectAltName=$3")
    rm "$f.csr"
}

# kubeconfig FILE CERT SERVER
kubeconfig() {
    [ -s "$E2E_STATE/$1.kubeconfig" ] && return
    cat > "$E2E_STATE/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: $E2E_NAME
clusters:
- name: $E2E_NAME
  cluster:
    server: $3
    certificate-authority-data: $(base64 -w0 < "$pki/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 < "$pki/$2.crt")
    client-key-data: $(base64 -w0 < "$pki/$2.key")
contexts:
- name: $E2E_NAME
  context: {cluster: $E2E_NAME, user: $2}
YAML
    chmod 600 "$E2E_STATE/$1.kubeconfig"
}

inside=https://$CP_IP:6443
cert apiserver "/CN=kube-apiserver" \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$CP_IP,IP:$API_SERVICE_IP"
cert kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client"
cert admin "/O=system:masters/CN=admin"
cert dns "/O=system:masters/CN=cluster-dns"
cert controller-manager "/CN=system:kube-controller-manager"
cert scheduler "/CN=system:kube-scheduler"
cert proxy "/CN=system:kube-proxy"
[ -s "$pki/sa.key" ] || openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
[ -s "$pki/sa.pub" ] || openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null

kubeconfig admin admin "https://127.0.0.1:$E2E_API_PORT"     # for callers outside
kubeconfig admin-inside admin "$inside"                      # for callers in the netns
kubeconfig controller-manager controller-manager "$inside"
kubeconfig scheduler scheduler "$inside"
kubeconfig proxy proxy "$inside"
for n in $(seq "$E2E_NODES"); do
    cert "n$n" "/O=system:nodes/CN=system:node:n$n" "DNS:n$n,IP:$(node_ip "$n")"
    kubeconfig "n$n" "n$n" "$inside"
done
