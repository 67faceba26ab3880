#!/usr/bin/env bash
# Installs what building and testing Valo needs beyond Rust itself.
set -euo pipefail

# clang, libclang   RocksDB's bindings; the examples' C sources
# lld               links the node in seconds
# wasi-libc, libclang-rt-14-dev-wasm32   the examples' WebAssembly
packages=(build-essential clang libclang-dev lld wasi-libc libclang-rt-14-dev-wasm32 pkg-config)

# The test cluster (docs/test-cluster.md): its nodes' container runtime, network and firewall, and what starts them.
packages+=(containernetworking-plugins nftables iptables conntrack iproute2 openssl util-linux mount
  procps curl ca-certificates)
# Docker brings a containerd of its own, which Debian's would push out.
command -v containerd >/dev/null || packages+=(containerd runc)
command -v python3 >/dev/null || packages+=(python3)
# Any Go since 1.19 fetches the one that the cluster is built with.
command -v go >/dev/null || packages+=(golang-go)

if ! command -v cargo >/dev/null; then
  echo "deps: cargo is missing: install Rust 1.95 or newer, see https://rustup.rs" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "deps: this is not Debian or Ubuntu; install these with your package manager:" >&2
  echo "  a C++ compiler and make, clang and libclang, lld, pkg-config," >&2
  echo "  to rebuild the examples, wasi-libc with clang's wasm32 runtime (clang 14)," >&2
  echo "  and, for the test cluster, Go, python3, containerd, runc, the CNI plugins in /usr/lib/cni, nftables, iptables," >&2
  echo "  conntrack, iproute2, openssl, curl" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "deps: everything is there"
  exit 0
fi
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
echo "deps: installing ${missing[*]}"
"${sudo[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "deps: done"
