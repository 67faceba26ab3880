#!/usr/bin/env bash
# A network on this machine computes examples/digits on real input; then its result is measured, explained and proven.
# Everything it writes is in one temporary folder, which goes with it; nothing keeps running.
set -euo pipefail
valo=${1:?usage: scripts/demo.sh VALO}
cd "$(dirname "$0")/.."

home=$(mktemp -d "${TMPDIR:-/tmp}/valo-demo.XXXXXX")
network=
interrupted=
finish() {
  # A command that a signal ended may be noticed before the signal itself.
  status=${interrupted:-$?}
  trap - EXIT
  # Whoever is impatient does not keep it from cleaning up.
  trap '' INT TERM
  if [ -n "$network" ] && kill -0 "$network" 2>/dev/null; then
    kill -TERM "$network" 2>/dev/null || true
    wait "$network" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && [ -s "$home/dev.log" ]; then
    echo "--- the network's last words" >&2
    tail -n 15 "$home/dev.log" >&2
  fi
  rm -rf "$home"
  exit "$status"
}
trap finish EXIT
trap 'interrupted=130; exit 130' INT
trap 'interrupted=143; exit 143' TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

export VALO_HOME="$home/valo"
say "A network of 4 validators and 6 workers in two tiers"
"$valo" dev --validators 4 --workers 6 --tiers small,large --home "$home/network" >"$home/dev.log" 2>&1 &
network=$!
for _ in $(seq 300); do
  if "$valo" account show >/dev/null 2>&1; then break; fi
  kill -0 "$network" 2>/dev/null || { echo "the network did not start" >&2; exit 1; }
  sleep 0.2
done
"$valo" node list

say "valo job submit examples/digits/job.yaml --watch"
"$valo" job submit examples/digits/job.yaml --watch --yes

say "valo job result 1"
"$valo" job result 1 --out "$home/result"
examples/digits/accuracy.sh "$home/result"

say "valo verify 1"
"$valo" verify 1
