#!/usr/bin/env bash
# Builds the cluster's tools, the programs and their images, then runs the tests on a real Kubernetes.
#   scripts/cluster-test.sh [NAME]    those whose names hold NAME; all unless said
# VALO_PROGRAMS=FOLDER takes the programs from there in place of building them.
set -euo pipefail
cd "$(dirname "$0")/.."

# First, since it says what the machine lacks.
tests/cluster/testbed/cluster build

built=${CARGO_TARGET_DIR:-target}/debug
from=${VALO_PROGRAMS:-$built}
programs=("$from/valo")
[ -n "${VALO_PROGRAMS:-}" ] || cargo build --locked --workspace --bin valo
if [ -d operator ]; then
  programs+=("$from/valo-operator")
  [ -n "${VALO_PROGRAMS:-}" ] || cargo build --locked --workspace --bin valo-operator
fi
export VALO_IMAGES=${CARGO_TARGET_DIR:-target}/images
rm -rf "$VALO_IMAGES"
images/build "$VALO_IMAGES" "${programs[@]}"

# Not through cargo, which would not wait for it after Ctrl-C.
cargo build --locked --workspace --bin valo-cluster-tests
exec "$built/valo-cluster-tests" "$@"
