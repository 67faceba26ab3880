#!/usr/bin/env bash
# Runs every test of the tree. VALO_LONG=1 runs many more seeds and cases.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${VALO_LONG:-}" ]; then
  export PROPTEST_CASES="${PROPTEST_CASES:-4096}" VALO_SIM_SECONDS="${VALO_SIM_SECONDS:-900}"
fi

# Clones may share what was built: tests find files by where they run, and so does insta.
export INSTA_WORKSPACE_ROOT=$PWD

step() { printf '\n== %s\n' "$*"; }

# All with --workspace, so that every dependency compiles once: see features.sh.
step "build"
cargo build --locked --workspace --all-targets
step "unit, property, golden and snapshot tests, simulator, custom resources, operator"
cargo test --locked --workspace --exclude valo-e2e --no-fail-fast
if [ -n "${VALO_LONG:-}" ]; then
  step "hundreds of random networks with faulty workers"
  cargo test --locked --workspace --lib hundreds_of_seeds -- --ignored
fi
step "end to end: real processes"
networks=()
for file in tests/e2e/tests/*.rs; do networks+=(--test "$(basename "$file" .rs)"); done
cargo test --locked --workspace --no-fail-fast "${networks[@]}"
step "examples: the committed WebAssembly is what the sources give"
make --no-print-directory -C examples check
