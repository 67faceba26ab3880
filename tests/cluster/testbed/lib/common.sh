# What every part of the testbed shares: where things are, and how it speaks.

DIR=$(realpath -m "${VALO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/valo}/testbed")
TOOLS=$DIR/tools              # built programs: stay
RUN=$DIR/run                  # one cluster: goes with it
NET=10.199.0                  # machines: .1 control plane, .10+I node I, .254 host
PODS=10.200                   # pods of node I: $PODS.I.0/24
SERVICES=10.96.0.0/16         # .0.1 the API server, .0.10 DNS
DNS=10.96.0.10
ID=valo-$(printf %s "$DIR" | cksum | cut -d' ' -f1)   # our control group

die() { echo "cluster: $*" >&2; exit 1; }
say() { echo "cluster: $*" >&2; }

# kubectl as administrator.
kc() { "$TOOLS/kubectl" --kubeconfig "$RUN/admin.kubeconfig" "$@"; }

# until_ok SECONDS WHAT COMMAND…: try until it works, or say what did not.
until_ok() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$what not ready in time; see $RUN/log"
    sleep 0.1
  done
}

# The numbers of the nodes.
nodes() { seq "$(cat "$RUN/nodes")"; }
