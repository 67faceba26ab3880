#!/usr/bin/env bash
# Runs every test of the tree. VALO_LONG=1 runs many more seeds and cases.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${VALO_LONG:-}" ]; then
  export PROPTEST_CASES="${PROPTEST_CASES:-4096}" VALO_SIM_SECONDS="${VALO_SIM_SECONDS:-900}"
fi

step() { printf '\n== %s\n' "$*"; }

# What uses kube by itself: with it, shared dependencies would get other features and compile twice.
node=(--workspace --exclude valo-crds --exclude valo-operator)

step "build"
cargo build --locked "${node[@]}" --all-targets
step "unit, property, golden and snapshot tests, simulator"
cargo test --locked "${node[@]}" --exclude valo-e2e
step "custom resources and operator"
cargo test --locked -p valo-crds -p valo-operator
if [ -n "${VALO_LONG:-}" ]; then
  step "hundreds of random networks with faulty workers"
  cargo test --locked -p valo-ledger hundreds_of_seeds -- --ignored
fi
step "end to end: real processes"
# With everything selected: its dependencies are then the ones that are built already.
networks=()
for file in tests/e2e/tests/*.rs; do networks+=(--test "$(basename "$file" .rs)"); done
cargo test --locked "${node[@]}" "${networks[@]}"
step "examples: the committed WebAssembly is what the sources give"
make --no-print-directory -C examples check
