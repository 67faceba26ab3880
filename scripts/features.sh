#!/usr/bin/env bash
# Every dependency compiles once: everything is built with the features that the whole workspace asks for. So what
# builds selects targets (`--workspace --bin valo`), not packages (`-p valo`), whose own features would be fewer.
# Only images build a package: a program that is shipped carries what it asks for itself.
# One gap is left: where cargo builds no test it leaves dev-dependencies out. What only those ask for, a crate of tests
# asks for in its normal dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."

tree() { cargo tree --locked --workspace --prefix none -f '{p} {f}' "$@" | sed 's/ (\*)$//' | sort -u; }
all=$(tree -e normal,build,dev)

# same WHAT ARGUMENTS…: what is built so has the features that everything has.
same() {
  local what=$1 other
  shift
  other=$(comm -23 <(tree "$@") <(echo "$all"))
  [ -z "$other" ] && return
  printf 'these and all above them compile again for %s, with these features:\n%s\n' "$what" "$other" >&2
  exit 1
}

same "programs" -e normal,build
same "tests without networks" -e normal,build,dev --exclude valo-e2e
if grep -nE '(cargo|CARGO\)) (build|clippy|run|test).* (-p|--package)\b' Makefile .ci/run scripts/*.sh images/build; then
  echo "these build with the features of one package: select with --workspace --bin, --lib or --test" >&2
  exit 1
fi
