#!/usr/bin/env bash
# What the binary is built with is what the tests are built with: else everything below a difference compiles twice.
set -euo pipefail
cd "$(dirname "$0")/.."
tree() { cargo tree --locked --prefix none -f '{p} {f}' "$@" | sed 's/ (\*)$//' | sort -u; }
only=$(comm -23 <(tree -e normal,build -p valo) <(tree -e normal,build,dev --workspace --exclude valo-crds --exclude valo-operator))
if [ -n "$only" ]; then
  echo "only tests ask for further features of these; ask for them in the normal dependencies too:" >&2
  echo "$only" >&2
  exit 1
fi
