#!/bin/sh
# Proves that the committed modules are what the sources beside them compile to:
# builds all of them from a copy of the sources in a new temporary folder and
# compares the bytes. Exits 1 when any differ, 2 when the toolchain is not the
# one that the committed bytes come from.
set -eu
cd "$(dirname "$0")"

compiler=${CLANG:-clang-14}
wanted_compiler=14.0.6
wanted_libc=0.0~git20220510.9886d3d-2 # version of Debian's package wasi-libc
packages="clang lld wasi-libc libclang-rt-14-dev-wasm32"

if ! version=$("$compiler" --version 2>/dev/null | head -n 1); then version=; fi
case $version in
*"version $wanted_compiler"*) ;;
*)
    echo "check.sh: want clang $wanted_compiler as on Debian 12, found ${version:-no $compiler}; apt-get install $packages" >&2
    exit 2
    ;;
esac
if command -v dpkg-query >/dev/null; then
    libc=$(dpkg-query -W -f '${Version}' wasi-libc 2>/dev/null || true)
    if [ "$libc" != "$wanted_libc" ]; then
        echo "check.sh: want wasi-libc $wanted_libc, found ${libc:-none}; apt-get install $packages" >&2
        exit 2
    fi
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Another folder than the committed one, so that a path in the bytes would show.
cp -R Makefile common digits wordcount primes "$work"
rm -f "$work"/*/*.wasm
make -s -C "$work" all OUT=built CLANG="$compiler"

status=0
for rebuilt in "$work"/built/*/*.wasm; do
    module=${rebuilt#"$work"/built/}
    if cmp -s "$rebuilt" "$module"; then
        echo "same      $module"
    else
        echo "different $module: run make all and commit it" >&2
        status=1
    fi
done
for module in */*.wasm; do
    if [ ! -f "$work/built/$module" ]; then
        echo "different $module: the Makefile does not build it" >&2
        status=1
    fi
done
exit $status
