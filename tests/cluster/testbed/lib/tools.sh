# The programs of the cluster, built from Go modules into $TOOLS, and what the machine itself must offer.

VERSION=v1.35.4         # of Kubernetes, as in tools/go.mod
GO_VERSION=1.26.8       # fetched where the machine's own Go is older than 1.26
# Not in tools/go.mod: their dependencies contradict each other's.
PROGRAMS=(helm.sh/helm/v3/cmd/helm@v3.22.0 github.com/coredns/coredns@v1.14.7 github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0)
KUBE=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl etcd provisioner)

# go ARG…: a Go that is new enough, with its caches beside the tools.
go() {
  GOROOT="" GOMODCACHE=$DIR/go/mod GOCACHE=$DIR/go/build GOFLAGS="-buildvcs=false -modcacherw" GOTOOLCHAIN=local CGO_ENABLED=0 \
    "$GO" "$@"
}

# Sets GO: the machine's, or the toolchain that the Go module proxy serves, which any Go since 1.19 can fetch.
find_go() {
  local found arch zip
  GO=$(type -P go || true)
  [ -n "$GO" ] || die "go is not installed: run make deps"
  found=$(GOTOOLCHAIN=local "$GO" env GOVERSION)
  ! printf '%s\n' go1.26 "$found" | sort -CV || return 0
  local home=$DIR/go/$GO_VERSION
  if [ ! -x "$home/bin/go" ]; then
    say "fetching Go $GO_VERSION (the machine has $found)"
    arch=$("$GO" env GOARCH)
    zip=$(cd / && go mod download -json "golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-$arch" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    [ -d "$zip" ] || die "cannot fetch Go $GO_VERSION from the Go module proxy"
    rm -rf "$home.part"
    cp -r "$zip" "$home.part"
    chmod -R u+w "$home.part"
    chmod +x "$home.part"/bin/* "$home.part"/pkg/tool/*/*   # modules carry no modes
    mv "$home.part" "$home"
  fi
  GO=$home/bin/go
}

build() {
  local sum stamp="" package program
  sum=$({ cat "$here"/tools/{go.mod,go.sum,*.c,*.go,*/*.go} "$here/lib/tools.sh"; } | sha256sum)
  [ "$sum" != "$(cat "$TOOLS/built" 2>/dev/null)" ] || return 0
  find_go
  mkdir -p "$TOOLS"
  for package in client-go/pkg/version component-base/version; do
    stamp+=" -X k8s.io/$package.gitVersion=$VERSION -X k8s.io/$package.gitTreeState=clean"
    stamp+=" -X k8s.io/$package.gitMajor=1 -X k8s.io/$package.gitMinor=35"
  done
  say "building the tools (minutes, the first time)"
  (
    cd "$here/tools"
    go build -trimpath -ldflags "-s -w$stamp" -o "$TOOLS/kube" .
    go build -trimpath -ldflags "-s -w" -o "$TOOLS/" ./probe ./policy
    cc -Os -static -o "$TOOLS/pause" pause.c
    for program in "${PROGRAMS[@]}"; do GOBIN=$TOOLS go install -trimpath -ldflags "-s -w" "$program"; done
  )
  for program in "${KUBE[@]}"; do ln -sf kube "$TOOLS/$program"; done
  "$images/pack" -o "$TOOLS/pause.tar" -n valo.test/pause:1 --user 65535 "$TOOLS/pause" >/dev/null
  echo "$sum" >"$TOOLS/built"
}

check() { # what this machine must offer, said plainly
  local pair missing=()
  for pair in containerd:containerd ctr:containerd runc:runc ip:iproute2 iptables:iptables nft:nftables conntrack:conntrack \
    openssl:openssl nsenter:util-linux mount:mount sysctl:procps python3:python3 curl:curl cc:gcc; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
  [ ${#missing[@]} = 0 ] || die "missing Debian packages: ${missing[*]}; run make deps"
  [ -e /proc/sys/net/bridge ] || die "the kernel lacks br_netfilter: modprobe br_netfilter"
  grep -qw overlay /proc/filesystems || die "the kernel lacks overlayfs: modprobe overlay"
  case $DIR/ in
    /run/* | /var/log/* | /var/lib/cni/* | /var/lib/kubelet/*) die "VALO_CACHE may not lie in ${DIR%/*}: a node has its own" ;;
  esac
  [ -d "$RUN" ] || ! ip link show valo-host >/dev/null 2>&1 || die "interface valo-host exists: another cluster is up"
}
