#!/usr/bin/env bash
# Fails when a generated file differs from its source. The tests hold them; this runs just those.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --locked -q -p valo-protocol --test vectors >/dev/null || { echo "golden vectors differ: run make generate" >&2; exit 1; }
cargo test --locked -q -p valo --lib generated >/dev/null || { echo "OpenAPI or command line reference differ: run make generate" >&2; exit 1; }
