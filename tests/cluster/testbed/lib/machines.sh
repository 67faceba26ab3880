# Machines and processes. The control plane and each node are a "machine": a set of namespaces (net, mount, pid, uts,
# ipc) under an init. Killing that init takes its processes, mounts, interfaces and firewall rules with it.
#
# An init carries VALO_TESTBED in its environment, by which it is found even if whoever booted it was stopped half-way.
# A pid file holds "PID STARTTIME", so that a pid which was given out again is never taken for ours.

started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

pid_of() { # NAME: the pid if it runs, else nothing and failure
  local pid start
  read -r pid start 2>/dev/null <"$RUN/pid/${1/\//.}" || return 1
  [ -n "$start" ] && [ "$(started "$pid")" = "$start" ] && echo "$pid"
}

gone() { ! pid_of "$1" >/dev/null; }

note() { echo "$2 $(started "$2")" >"$RUN/pid/${1/\//.}"; }   # NAME PID

child_of() { local child; child=$(cat "/proc/$1/task/$1/children") && [ -n "$child" ] && echo $child; }

inside() { # MACHINE COMMAND…: run in its namespaces
  local init
  init=$(pid_of "$1") || die "$1 is not running"
  shift
  nsenter -t "$init" -m -n -p -u -i -- "$@"
}

inits() { grep -lszxF "VALO_TESTBED=$DIR" /proc/[0-9]*/environ | cut -d/ -f3; }   # of every machine

no_inits() { # all machines without power
  local all
  all=$(inits) || true
  [ -z "$all" ] || { echo "$all" | xargs kill -9; return 1; }
}

boot() { # MACHINE: an init in fresh namespaces
  local machine=$1 home=$RUN/$1 parent init
  gone "$machine" || return 0
  mkdir -p "$home" "$RUN/volumes" "$RUN/log/$machine" /var/lib/{cni,kubelet}
  VALO_TESTBED=$DIR setsid unshare --mount --net --pid --uts --ipc --fork --mount-proc --propagation private \
    bash -ec '
      cd "$1"; hostname "$2"
      mount --make-rshared /
      for d in /run /var/log /var/lib/cni /var/lib/kubelet; do mount -t tmpfs tmpfs $d; done
      mkdir /run/machine /run/volumes; mount --bind . /run/machine; mount --bind ../volumes /run/volumes
      sysctl -qw net.ipv4.ip_forward=1; ip link set lo up
      cd /; exec "$3"' boot "$home" "$machine" "$TOOLS/pause" \
    >"$RUN/log/$machine/init.log" 2>&1 </dev/null 9>&- &
  parent=$!
  until_ok 10 "$machine" child_of "$parent"
  init=$(child_of "$parent")
  until_ok 10 "$machine" test "$(readlink -f "$TOOLS/pause")" -ef "/proc/$init/exe"
  note "$machine" "$init"
}

start() { # MACHINE NAME COMMAND…: a process on a machine
  local machine=$1 name=$2 init parent
  shift 2
  gone "$name" || return 0
  init=$(pid_of "$machine") || die "$machine is not running"
  mkdir -p "$(dirname "$RUN/log/$name")"
  setsid nsenter -t "$init" -m -n -p -u -i -- "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null 9>&- &
  parent=$!
  until_ok 5 "$name" child_of "$parent"
  note "$name" "$(child_of "$parent")"
}

stop() { # SIGNAL NAME: and wait; SIGKILL after 10 s
  local pid
  pid=$(pid_of "$2") || return 0
  kill -"$1" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    gone "$2" && return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  until_ok 10 "stopping $2" gone "$2"
}
