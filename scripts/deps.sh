#!/usr/bin/env bash
# Installs what building and testing Valo needs beyond Rust itself.
#   clang, libclang   RocksDB's bindings; the examples' C sources
#   lld               links the node in seconds
#   wasi-libc, libclang-rt-14-dev-wasm32   the examples' WebAssembly
set -euo pipefail

packages=(build-essential clang libclang-dev lld wasi-libc libclang-rt-14-dev-wasm32 pkg-config)

if ! command -v cargo >/dev/null; then
  echo "deps: cargo is missing: install Rust 1.95 or newer, see https://rustup.rs" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "deps: this is not Debian or Ubuntu; install these with your package manager:" >&2
  echo "  a C++ compiler and make, clang and libclang, lld, pkg-config," >&2
  echo "  and, to rebuild the examples, wasi-libc with clang's wasm32 runtime (clang 14)" >&2
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
