# gVisor: the runsc binary, and its entry in Docker's configuration. Sourced.
# shellcheck shell=bash

: "${SETUP:?}" "${PLATFORM?}" # set by setup.sh
DAEMON_JSON=/etc/docker/daemon.json

# Prints the path of runsc, or nothing while it is not installed.
runsc_path() { command -v runsc || true; }

# Whether Docker's configuration has the required entry: 0 yes, 1 no, 2 cannot be read.
runtime_is_configured() {
  python3 "$SETUP/daemon_json.py" check "$DAEMON_JSON" --platform "$PLATFORM"
}

docker_knows_runsc() { [[ $(dock info --format '{{json .Runtimes}}' 2>/dev/null) == *'"runsc"'* ]]; }

runsc_plan() {
  if ! have python3; then
    echo "register runsc as a Docker runtime in $DAEMON_JSON"
    return
  fi
  local status=0
  runtime_is_configured || status=$?
  case $status in
    0) if docker_answers && ! docker_knows_runsc; then echo "make dockerd reload $DAEMON_JSON"; fi ;;
    1) if [[ -e $DAEMON_JSON ]]; then echo "add the runtime runsc to $DAEMON_JSON, keeping a copy of the file"
       else echo "write $DAEMON_JSON with the runtime runsc"; fi ;;
    *) exit 9 ;; # daemon_json.py has reported why
  esac
}

runsc_do() {
  local platform tries changed=0
  have runsc || install_runsc_from_debian
  if ! runtime_is_configured; then
    platform=$(find_platform)
    say "gVisor's platform on this machine: $platform"
    as_root python3 "$SETUP/daemon_json.py" merge "$DAEMON_JSON" --platform "$platform" --path "$(runsc_path)"
    changed=1
  fi
  # A dockerd that does not run yet reads the file when it starts.
  if docker_answers && { ((changed)) || ! docker_knows_runsc; }; then
    say "making dockerd reload $DAEMON_JSON"
    reload_dockerd
    for ((tries = 0; tries < 25; tries++)); do
      if docker_knows_runsc; then return; fi
      sleep 0.2
    done
    die "dockerd did not load the runtime from $DAEMON_JSON: restart Docker, then run this again"
  fi
}

# Some distributions have no package of runsc. Debian's is one static binary, so it runs on all of them.
install_runsc_from_debian() {
  say "this distribution has no package of runsc: using Debian's"
  local tree
  tree=$(as_root mktemp -d /var/tmp/crucible-runsc.XXXXXX)
  extract_debian "$tree" runsc
  as_root install -m 0755 "$tree/usr/bin/runsc" /usr/local/bin/runsc
  as_root rm -rf "$tree"
}

# Prints the first platform that works. systrap is gVisor's default, ptrace works everywhere; kvm only
# on request: on a virtual machine it may hang, or crash the machine.
find_platform() {
  local platform
  for platform in ${PLATFORM:-systrap ptrace}; do
    if platform_works "$platform"; then
      echo "$platform"
      return
    fi
  done
  die "runsc does not run on this machine with the platform ${PLATFORM:-systrap or ptrace}"
}

# Runs `true` in a sandbox, with a time-out of ten seconds. runsc starts its processes in sessions of their
# own, so killing the process group would not reach those of a platform that hangs. They therefore run
# in a PID namespace, which is killed as a whole.
platform_works() {
  local state log status=0
  log=$(mktemp)
  state=$(as_root mktemp -d /tmp/crucible-probe.XXXXXX)
  as_root timeout --signal=KILL 10 unshare --pid --fork --kill-child --mount-proc \
    runsc --root "$state" --platform="$1" --network=none "do" true </dev/null >"$log" 2>&1 || status=$?
  as_root rm -rf "$state"
  if ((status == 137)); then say "gVisor's platform $1: no response within ten seconds"
  elif ((status != 0)); then say "gVisor's platform $1: $(tail -n1 "$log")"; fi
  rm -f "$log"
  return "$status"
}
