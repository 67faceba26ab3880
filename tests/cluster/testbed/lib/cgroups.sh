# Control groups, version 1 and 2: one for each node, under one of ours.

cgroup_roots() { # every mounted hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts
  fi
}

make_cgroup() { # PATH
  local root dir part controller
  for root in $(cgroup_roots); do
    dir=$root
    for part in ${1//\// }; do
      if [ -e "$dir/cgroup.subtree_control" ]; then
        for controller in $(cat "$dir/cgroup.controllers"); do
          echo "+$controller" >"$dir/cgroup.subtree_control" 2>/dev/null || true
        done
      fi
      mkdir -p "$dir/$part"
      # A cpuset of version 1 is unusable until it is told its processors.
      if [ -e "$dir/$part/cpuset.cpus" ] && [ -z "$(cat "$dir/$part/cpuset.cpus")" ] && [ ! -e "$dir/cgroup.controllers" ]; then
        cat "$dir/cpuset.cpus" >"$dir/$part/cpuset.cpus"
        cat "$dir/cpuset.mems" >"$dir/$part/cpuset.mems"
      fi
      dir=$dir/$part
    done
  done
}

no_cgroups() { # remove what is left of ours; fails while processes are in it
  local root left=0
  for root in $(cgroup_roots); do
    [ ! -d "$root/$ID" ] || find "$root/$ID" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
  done
  return $left
}
