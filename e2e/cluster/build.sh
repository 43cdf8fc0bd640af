#!/usr/bin/env bash
# Builds Kubernetes' server programs from Debian's source package, once, into the cache: about 9 minutes on 2 cores.
# Nothing but the Debian archive is needed.
#
#   build.sh            builds where the cache has no complete set
#   build.sh --force    builds again
#
# E2E_SOURCE   the version of the source package
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
E2E_SOURCE=${E2E_SOURCE:-1.20.5+really1.20.2-1.1+deb12u1}
built="$E2E_SOURCE reflect2-1.0.2 empty-text-2" # the source, and what this script changes in it
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

complete() {
    local program
    for program in "${programs[@]}"; do [ -x "$E2E_CACHE/bin/$program" ] || return 1; done
    [ "$(cat "$E2E_CACHE/bin/VERSION" 2>/dev/null)" = "$built" ]
}
if [ "${1:-}" != --force ] && complete; then
    say "already built: $E2E_CACHE/bin ($built)"
    exit 0
fi
need_root
mkdir -p "$E2E_CACHE/bin"
# Two builds at once would share a folder; the second finds it done.
exec 9>"$E2E_CACHE/build.lock"
flock 9
if [ "${1:-}" != --force ] && complete; then exit 0; fi
start=$SECONDS

# A list of sources like the machine's own list of packages, where it has none; archive and key as configured.
sources_list() {
    local format='$(CREATED_BY)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)' line entry key
    ! apt-get indextargets --format "$format" | grep -q '^Sources|bookworm|main|' || return 0
    line=$(apt-get indextargets --format "$format" | grep -m1 '^Packages|bookworm|main|') \
        || die "apt knows no archive of Debian bookworm here"
    entry=$(cut -d'|' -f5 <<<"$line")
    # apt refuses two lists of one archive that name different keys.
    key=$(grep -ohPi '(?<=signed-by[:=])\s*\S+?(?=[]\s]|$)' "${entry%:*}" | head -1 | tr -d ' ') || true
    say "adding a list of sources"
    {
        echo "Types: deb-src"
        echo "URIs: $(cut -d'|' -f4 <<<"$line")"
        echo "Suites: bookworm bookworm-updates"
        echo "Components: main"
        [ -z "$key" ] || echo "Signed-By: $key"
    } >/etc/apt/sources.list.d/bookworm-src.sources
}
apt-get update -qq || die "apt-get update failed"
sources_list
apt-get update -qq || die "apt-get update failed"
install_packages golang-go rsync jq dpkg-dev make gcc libc6-dev golang-github-modern-go-reflect2-dev

# apt checks the signatures and hashes.
work=$E2E_CACHE/source
rm -rf "$work"
mkdir -p "$work"
cd "$work"
say "fetching source $E2E_SOURCE"
apt-get source -qq "kubernetes=$E2E_SOURCE" >/dev/null 2>source.log || { cat source.log >&2; die "no source"; }
cd "$(find . -maxdepth 1 -type d -name 'kubernetes-*' | head -1)"

# The source carries reflect2 1.0.1, which calls a function of Go's run time that takes other arguments since Go 1.18:
# the programs would build, run, and now and then corrupt their memory while they write JSON. Debian's 1.0.2 has the
# same interface and fits Go 1.18 and later.
reflect2=/usr/share/gocode/src/github.com/modern-go/reflect2
[ -f "$reflect2/go_above_118.go" ] || die "no support of Go 1.18 in $reflect2"
rm -rf vendor/github.com/modern-go/reflect2
cp -rL "$reflect2" vendor/github.com/modern-go/reflect2

# The validation of custom resources takes a value for null where reflect's handle of it equals that of its type's zero
# value. Since Go 1.18 that is so for every empty text, which would be refused wherever it is.
compares='if data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data)) {'
for validate in vendor/{github.com/go-openapi,k8s.io/kube-openapi/pkg/validation}/validate/type.go; do
    grep -qF "$compares" "$validate" || die "$validate is not as expected"
    sed -i "s/if data == nil || reflect.DeepEqual(reflect.Zero.*{/if data == nil {/" "$validate"
done

# The Makefile generates code that a plain `go build` would lack, and wants the tree at GOPATH/src/k8s.io/kubernetes.
mkdir -p .go/src/k8s.io
ln -sfn ../../.. .go/src/k8s.io/kubernetes
say "compiling ${programs[*]} (several minutes)"
if ! env GOPATH="$PWD/.go" GO111MODULE=off GOFLAGS= CGO_ENABLED=0 \
        nice -n 19 make WHAT="${programs[*]/#/cmd/}" >"$E2E_CACHE/build.log" 2>&1; then
    tail -30 "$E2E_CACHE/build.log" >&2
    die "make failed; all of it is in $E2E_CACHE/build.log"
fi

for program in "${programs[@]}"; do
    file=$(find _output -type f -name "$program" -perm -u+x | head -1)
    [ -n "$file" ] || die "make left no $program"
    install -m 0755 "$file" "$E2E_CACHE/bin/$program"
done
echo "$built" >"$E2E_CACHE/bin/VERSION"
cd /
rm -rf "$work" # the tree and Go's build cache are large
say "done in $((SECONDS - start)) s: $E2E_CACHE/bin ($(du -sh "$E2E_CACHE/bin" | cut -f1))"
