#!/usr/bin/env bash
# Makes container images without a registry or a container engine, and loads them into the nodes. What it makes has the
# layout of the Dockerfile's image: the same programs, paths, user and environment.
#
#   image.sh build NAME:TAG     the project's image, in three layers; prints the archive's path
#                                 base  Debian bookworm with python3, by debootstrap     (made once)
#                                 deps  the locked requirements-image.txt                (where they changed)
#                                 app   the project's wheel                              (every time)
#   image.sh pause              the image of pods' sandboxes (up.sh calls it)
#   image.sh load ARCHIVE...    into every node that is up, and into those that start later
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root

project=$(cd "$here/../.." && pwd)
python=${PYTHON:-$project/.venv/bin/python}
store=$E2E_CACHE/image
mkdir -p "$store"
packages=python3,ca-certificates,libstdc++6
app_uid=10001
site=/usr/local/lib/python3.11/dist-packages # on the path of Debian's Python

pack() {  # pack DIR OUT: a reproducible tar
    tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 \
        -C "$1" -cf "$2.new" . && mv "$2.new" "$2"
}

pause_image() {
    [ -s "$store/pause.tar" ] && return
    say "building the pause image"
    local tmp; tmp=$(mktemp -d)
    mkdir "$tmp/root"
    gcc -Os -static -s -o "$tmp/root/pause" "$here/pause.c"
    pack "$tmp/root" "$tmp/layer.tar"
    python3 "$here/ociimage.py" --name localhost/pause:3 --out "$store/pause.tar.new" \
        --layer "$tmp/layer.tar" --entrypoint '["/pause"]' --user 65535:65535
    mv "$store/pause.tar.new" "$store/pause.tar"
    rm -r "$tmp"
}

base_layer() {  # sets $base (directory) and $base_tar
    local key; key=$(echo "bookworm $packages $app_uid 3" | sha256sum | cut -c1-12)
    base=$store/base-$key; base_tar=$base.tar
    [ -s "$base_tar" ] && return
    command -v debootstrap >/dev/null || install_packages debootstrap
    say "building the base layer (debootstrap)"
    rm -rf "$base" "$base.new"
    local mirror
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "no Debian bookworm archive is configured for apt here"
    debootstrap --variant=minbase --include="$packages" bookworm "$base.new" "$mirror" \
        >"$store/debootstrap.log" 2>&1 \
        || { tail -5 "$store/debootstrap.log" >&2; die "debootstrap failed"; }
    # What a running container has no use for; licences stay.
    find "$base.new/usr/share/doc" -type f ! -name copyright -delete
    find "$base.new/usr/share/doc" -type d -empty -delete
    rm -rf "$base.new"/var/cache/apt/* "$base.new"/var/lib/apt/lists/* \
        "$base.new"/usr/share/{man,locale,info,lintian} "$base.new"/var/log/* \
        "$base.new"/dev/* "$base.new"/tmp/* "$base.new"/etc/hostname "$base.new"/etc/resolv.conf
    mkdir -p "$base.new/app" "$base.new$site"
    ln -s /usr/bin/python3 "$base.new/usr/local/bin/python"
    echo "app:x:$app_uid:$app_uid::/app:/usr/sbin/nologin" >> "$base.new/etc/passwd"
    echo "app:x:$app_uid:" >> "$base.new/etc/group"
    chroot "$base.new" python3 -m compileall -q /usr/lib/python3.11 >/dev/null || true
    mv "$base.new" "$base"
    pack "$base" "$base_tar"
}

pip_into() { # pip_into DIR ARGUMENT...: for the image's Python, whatever the caller's is
    local dir=$1
    shift
    "$python" -m pip install -qq --disable-pip-version-check --target "$dir" --no-compile --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
        --only-binary :all: "$@"
}

site_layer() {  # site_layer OUT ARGUMENT...: a layer made of a pip install
    local out=$1 tmp; shift
    tmp=$(mktemp -d "$store/tmp.XXXXXX")
    mkdir -p "$tmp/upper$site" "$tmp/scratch" "$tmp/merged" "$tmp/upper/usr/local/bin"
    pip_into "$tmp/upper$site" "$@"
    # pip made the console scripts for the Python it ran under.
    if [ -d "$tmp/upper$site/bin" ]; then
        find "$tmp/upper$site/bin" -type f -exec sed -i '1s|^#!.*python.*|#!/usr/bin/python3|' {} +
        mv "$tmp/upper$site/bin"/* "$tmp/upper/usr/local/bin/"
        rmdir "$tmp/upper$site/bin"
    fi
    "$python" "$project/tools/release/slim.py" "$tmp/upper$site" >&2
    rm -f "$tmp/upper$site/.lock"
    # Byte-compile with the image's own Python: containers run read-only.
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$tmp/upper,workdir=$tmp/scratch" "$tmp/merged"
    chroot "$tmp/merged" python3 -m compileall -q "$site" >/dev/null 2>&1 || true
    umount "$tmp/merged"
    pack "$tmp/upper" "$out"
    rm -rf "$tmp"
}

build() {
    local name=$1 key deps wheels app out
    # What is in the cache is made by one at a time.
    exec 9>"$store/lock"
    flock 9
    base_layer
    key=$( (echo "$base"; cat "$project/requirements-image.txt" "$project/tools/release/slim.py") | sha256sum | cut -c1-12)
    deps=$store/deps-$key.tar
    if [ ! -s "$deps" ]; then
        say "building the layer of requirements"
        site_layer "$deps" --require-hashes --requirement "$project/requirements-image.txt"
    fi
    flock -u 9
    app=$(mktemp "$store/app.XXXXXX")
    wheels=$(mktemp -d "$store/wheel.XXXXXX")
    "$python" -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$wheels" "$project"
    site_layer "$app" --no-deps "$wheels"/*.whl
    rm -r "$wheels"
    mkdir -p "$E2E_STATE"
    out=$E2E_STATE/$(echo "$name" | tr '/:' '__').tar
    # Environment, user and command: as in the Dockerfile.
    python3 "$here/ociimage.py" --name "$name" --out "$out.new" \
        --layer "$base_tar" --layer "$deps" --layer "$app" \
        --cmd '["python", "-m", "shuffle_operator"]' --user "$app_uid:$app_uid" --workdir /app \
        --env PATH=/usr/local/bin:/usr/bin:/bin --env PYTHONUNBUFFERED=1 --env PYTHONDONTWRITEBYTECODE=1 --env HOME=/tmp
    mv "$out.new" "$out"
    rm "$app"
    echo "$out"
}

load_one() {  # load_one N IMAGE: import, unless this very archive was before
    local dir stamp; dir=$(node_dir "$1")
    stamp=$dir/containerd/loaded/$(stat -c '%n %s %y' "$2" | sha256sum | cut -c1-16)
    [ -e "$stamp" ] && return
    ctr -a "$dir/run/containerd.sock" -n k8s.io images import "$2" >/dev/null \
        || die "node n$1: could not import $2"
    mkdir -p "${stamp%/*}"; touch "$stamp"
}

command=${1:-}; shift || true
case $command in
pause) pause_image ;;
build) build "$@" ;;
load)
    for image in "$@"; do
        image=$(readlink -f "$image")
        grep -qsxF "$image" "$E2E_STATE/images" || echo "$image" >> "$E2E_STATE/images"
        loading=()
        for n in $(seq 9); do
            ! alive "n$n-containerd" || { load_one "$n" "$image" & loading+=($!); }
        done
        for pid in "${loading[@]}"; do wait "$pid" || die "could not load $image"; done
    done ;;
load-one) load_one "$@" ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
