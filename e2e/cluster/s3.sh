#!/usr/bin/env bash
# A real S3 server for the cluster: Ceph's radosgw with one monitor and one OSD, from Debian packages, in the control
# plane's network namespace. Prints the address that pods use; the caller's is http://127.0.0.1:$E2E_S3_PORT. Can be run
# again. down.sh ends it.
#
#   s3.sh away    ends the gateway alone, as in an outage: its store stays, and running this again brings it back
#
# E2E_S3_PORT   its port on the caller's loopback
# E2E_S3_SIZE   of its store, a sparse file
#
# Its settings hold what took long to find out: `ms ... mode = crc` (without authentication clients hang otherwise),
# tcp_nodelay (52 ms for each small read otherwise), relaxed region enforcement (clients name a region). Clients must not
# send the newer checksums (AWS_REQUEST_CHECKSUM_CALCULATION=when_required), which it answers with 411.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root
E2E_S3_PORT=${E2E_S3_PORT:-27480}
E2E_S3_SIZE=${E2E_S3_SIZE:-20G}
access=shuffle secret=shuffle-secret
ip=$CP_IP port=7480
dir=$E2E_STATE/s3
cgroup=$E2E_NAME/system
enter=(nsenter --net="/run/netns/$CP_NS" --)
export CEPH_CONF=$dir/ceph.conf CEPH_ARGS=

[ -e "/run/netns/$CP_NS" ] || die "the cluster is not up: up.sh first"
[ "${1:-}" != away ] || { stop s3-rgw; exit 0; }
if ! command -v radosgw >/dev/null || ! command -v ceph-osd >/dev/null; then
    say "installing Ceph"
    install_packages ceph-mon ceph-osd ceph-common ceph-base radosgw
fi
command -v curl >/dev/null || install_packages curl
ceph() { "${enter[@]}" timeout 30 /usr/bin/ceph --conf "$CEPH_CONF" "$@"; }
daemon() { spawn "s3-$1" "$cgroup" "${enter[@]}" "${@:2}" --conf "$CEPH_CONF" -f; }

fresh=
mkdir -p "$dir"
if [ ! -s "$CEPH_CONF" ]; then
    fresh=1
    fsid=$(cat /proc/sys/kernel/random/uuid)
    cat >"$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = [v2:$ip:3300,v1:$ip:6789]
public addr = $ip
auth cluster required = none
auth service required = none
auth client required = none
run dir = $dir
pid file =
admin socket = $dir/\$name.asok
log file = $dir/\$name.log
crash dir = $dir
keyring = /dev/null
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms bind ipv6 = false
[mon]
mon data = $dir/mon
[osd]
osd data = $dir/osd
osd objectstore = bluestore
bluestore block size = $(numfmt --from=iec "$E2E_S3_SIZE")
osd memory target = 1073741824
[client]
rgw data = $dir/rgw
rgw frontends = beast endpoint=$ip:$port tcp_nodelay=1
rgw dns name =
rgw thread pool size = 64
rgw enable usage log = false
rgw relaxed region enforcement = true
CONF
    mkdir -p "$dir"/{mon,osd,rgw}
    monmaptool --create --addv a "[v2:$ip:3300,v1:$ip:6789]" --fsid "$fsid" \
        --enable-all-features --set-min-mon-release pacific "$dir/monmap" >/dev/null
    "${enter[@]}" ceph-mon --conf "$CEPH_CONF" --mkfs -i a --monmap "$dir/monmap" >"$dir/mkfs.out" 2>&1 \
        || { tail -3 "$dir/mkfs.out" >&2; die "ceph-mon --mkfs failed"; }
fi
daemon mon ceph-mon -i a
wait_for 60 "Ceph's monitor" ceph -s
if [ -n "$fresh" ]; then
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ceph osd new "$uuid" 0 >/dev/null 2>&1
    "${enter[@]}" ceph-osd --conf "$CEPH_CONF" -i 0 --mkfs --osd-uuid "$uuid" >>"$dir/mkfs.out" 2>&1 \
        || { tail -3 "$dir/mkfs.out" >&2; die "ceph-osd --mkfs failed"; }
    ceph osd crush add osd.0 1 root=default host=one >/dev/null 2>&1
    ceph config set mon auth_allow_insecure_global_id_reclaim false >/dev/null 2>&1 || true
fi
daemon osd ceph-osd -i 0
osd_up() { ceph osd stat 2>/dev/null | grep -q '1 up'; }
wait_for 60 "Ceph's OSD" osd_up
daemon rgw radosgw -n client.rgw
answers() { "${enter[@]}" curl -sf -o /dev/null "http://$ip:$port/"; }
wait_for 90 "radosgw" answers
admin() { "${enter[@]}" radosgw-admin --conf "$CEPH_CONF" -n client.rgw "$@"; }
admin user info --uid "$access" >/dev/null 2>&1 \
    || admin user create --uid "$access" --display-name "$access" --access-key "$access" --secret-key "$secret" \
        >/dev/null 2>>"$dir/user.out" || die "cannot make the user: $(tail -3 "$dir/user.out")"
spawn s3-forward "$cgroup" "$(command -v python3)" "$here/forward.py" \
    "127.0.0.1:$E2E_S3_PORT" "/run/netns/$CP_NS" "$ip:$port"
echo "http://$ip:$port"
