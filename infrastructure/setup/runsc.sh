# gVisor: the runsc binary, and its entry in Docker's configuration. Sourced.
# shellcheck shell=bash

: "${SETUP:?}" "${PLATFORM?}" # set by setup.sh
DAEMON_JSON=${CRUCIBLE_DAEMON_JSON:-/etc/docker/daemon.json}
# Where the pinned release is put. An older one from the distribution stays where it is, and comes later in PATH.
RUNSC=/usr/local/bin/runsc
# A package that is already here is used instead of being fetched, if its hash is right.
RUNSC_CACHE=/var/cache/crucible

# Prints the path of runsc, or nothing while it is not installed.
runsc_path() { command -v runsc || true; }

# runsc_release PATH: prints its date, as 20240729: the version is 0.0~20240729.0 in a build of Debian's, and
# release-20240729.0 in one of gVisor's. Prints 0 for another program.
runsc_release() {
  local version
  version=$(timeout 20 "$1" --version 2>/dev/null | head -n 1) || true
  [[ $version =~ 20[0-9]{6} ]] && echo "${BASH_REMATCH[0]}" || echo 0
}

# Prints the pinned package for this machine: release, version, architecture and hash, or nothing.
pinned_runsc() {
  local architecture
  architecture=$(dpkg --print-architecture 2>/dev/null || true)
  awk -v architecture="$architecture" '$1 !~ /^#/ && $3 == architecture' "$SETUP/runsc-release.txt"
}

# Whether the first runsc on PATH is at least as new as the pinned one, and not the broken build of unstable.
runsc_is_recent() {
  local path pinned
  path=$(runsc_path)
  [[ -n $path ]] || return 1
  read -r pinned _ <<<"$(pinned_runsc)"
  ! runsc_is_broken "$path" && (($(runsc_release "$path") >= ${pinned:-0}))
}

runsc_is_broken() {
  [[ $1 == /usr/bin/runsc && $(dpkg-query --show --showformat='${Version}' runsc 2>/dev/null) =~ ^0\.0~20240729\.0-([7-9]|[1-9][0-9]) ]]
}

# Whether this machine's own package sources have a release that is as new as the pinned one. Not those of Debian's
# unstable or testing release.
apt_runsc_is_recent() {
  local pinned
  ! grep -qs sid /etc/debian_version || return 1
  read -r pinned _ <<<"$(pinned_runsc)"
  [[ $(apt-cache policy runsc 2>/dev/null) =~ Candidate:\ [^$'\n']*(20[0-9]{6}) ]] && ((BASH_REMATCH[1] >= ${pinned:-0}))
}

# Prints a flag that this release needs: with it, gVisor's own process runs as nobody. Releases of 2023 and later run
# it as root otherwise, and earlier ones do not know the flag. Prints nothing for these.
needed_flags() {
  local path
  path=$(runsc_path)
  if [[ -n $path ]] && timeout 20 "$path" --directfs=false --version >/dev/null 2>&1; then echo --directfs=false; fi
}

# daemon_json COMMAND ARGUMENT...: calls daemon_json.py with what has to be in the entry.
daemon_json() {
  local command=$1 need
  shift
  need=$(needed_flags)
  python3 "$SETUP/daemon_json.py" "$command" "$DAEMON_JSON" --path "$(runsc_path)" ${need:+"--need=$need"} "$@"
}

# Whether dockerd has loaded this path and these arguments: it reads its configuration only when it is told to.
docker_has_loaded_runsc() {
  local loaded
  loaded=$(dock info --format '{{with index .Runtimes "runsc"}}{{json .}}{{end}}' 2>/dev/null) || return 1
  python3 - "$DAEMON_JSON" "$loaded" <<'END'
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    entry = json.load(file)["runtimes"]["runsc"]
loaded = json.loads(sys.argv[2] or "{}")
sys.exit(any(loaded.get(key) != entry.get(key) for key in ("path", "runtimeArgs")))
END
}

runsc_plan() {
  local release version hash path status=0 problems
  path=$(runsc_path)
  if ! runsc_is_recent; then
    read -r release version _ hash <<<"$(pinned_runsc)"
    if [[ -n ${hash-} ]]; then
      echo "install gVisor's runsc, release $release, as $RUNSC: Debian 13's package $version, fetched from Debian's mirror, sha256 $hash${path:+ (${path} is release $(runsc_release "$path"), and stays unless it is that file)}"
    elif [[ -z $path ]]; then
      die "there is no pinned runsc for this machine's architecture: install one from https://gvisor.dev, then run this again"
    fi
  fi
  if ! have python3; then
    echo "register runsc as a Docker runtime in $DAEMON_JSON"
    return
  fi
  problems=$(daemon_json check --platform "$PLATFORM") || status=$?
  case $status in
    0) if docker_answers && ! docker_has_loaded_runsc; then echo "make dockerd reload $DAEMON_JSON"; fi
       # The entry names the older one, and changes with it.
       if ! runsc_is_recent && [[ -n ${hash-} ]]; then echo "change the runtime runsc in $DAEMON_JSON to it, keeping a copy of the file"; fi ;;
    1) if [[ -e $DAEMON_JSON ]]; then echo "set the runtime runsc in $DAEMON_JSON, keeping a copy of the file ($problems)"
       else echo "write $DAEMON_JSON with the runtime runsc"; fi ;;
    *) exit 9 ;; # daemon_json.py has reported why
  esac
}

runsc_do() {
  local platform tries changed=0
  runsc_is_recent || install_runsc
  if ! daemon_json check --platform "$PLATFORM" >/dev/null; then
    platform=$(find_platform "$(runsc_path)") || die "nothing was registered"
    say "gVisor's platform on this machine: $platform"
    daemon_json_as_root "$platform"
    changed=1
  fi
  # A dockerd that does not run yet reads the file when it starts.
  if docker_answers && { ((changed)) || ! docker_has_loaded_runsc; }; then
    say "making dockerd reload $DAEMON_JSON"
    reload_dockerd
    for ((tries = 0; tries < 50; tries++)); do
      if docker_has_loaded_runsc; then return; fi
      sleep 0.2
    done
    die "dockerd did not load the runtime from $DAEMON_JSON: restart Docker, then run this again"
  fi
}

# daemon_json_as_root PLATFORM: writes the entry.
daemon_json_as_root() {
  local need
  need=$(needed_flags)
  as_root python3 "$SETUP/daemon_json.py" merge "$DAEMON_JSON" --platform "$1" --path "$(runsc_path)" ${need:+"--need=$need"}
}

# Installs the pinned release: one static binary, so it runs on every distribution. It is tried before it takes
# its place, and only this binary is taken out of the package: no source is added to apt, and no script is run.
install_runsc() {
  local release version architecture hash work
  read -r release version architecture hash <<<"$(pinned_runsc)"
  [[ -n ${hash-} ]] || return 0 # what is there is used
  say "installing runsc, release $release"
  work=$(as_root mktemp -d /var/tmp/crucible-runsc.XXXXXX)
  fetch_runsc "runsc_${version}_$architecture.deb" "$hash" "$work/runsc.deb"
  as_root dpkg-deb --extract "$work/runsc.deb" "$work/tree"
  as_root chmod 0755 "$work" "$work/tree"
  if ! find_platform "$work/tree/usr/bin/runsc" >/dev/null; then
    as_root rm -rf "$work"
    [[ -n $(runsc_path) ]] || die "runsc, release $release, does not run on this machine"
    say "runsc, release $release, does not run on this machine: $(runsc_path) stays in use"
    return 0
  fi
  # Renamed into its place: a sandbox that runs keeps its binary.
  as_root install -D -m 0755 "$work/tree/usr/bin/runsc" "$RUNSC.new"
  as_root mv "$RUNSC.new" "$RUNSC"
  as_root rm -rf "$work"
  hash -r
}

# fetch_runsc PACKAGE HASH TO: from the cache or from a mirror, with the hash checked.
fetch_runsc() {
  local main pool=pool/main/g/golang-gvisor-gvisor
  if echo "$2  $RUNSC_CACHE/$1" | sha256sum --check --status 2>/dev/null; then
    as_root cp "$RUNSC_CACHE/$1" "$3"
    return
  fi
  main=$(debian_sources | awk 'NR == 1 { print $3 }')
  # apt's own client uses the proxy that apt is configured with, and refuses a file with another hash.
  for main in "$main" http://deb.debian.org/debian https://snapshot.debian.org/archive/debian/20250901T000000Z; do
    if as_root /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "${main%/}/$pool/$1" "$3" "SHA256:$2" >/dev/null 2>&1; then return; fi
    say "$main does not have $1 with the pinned hash"
  done
  die "runsc could not be fetched: get $1 (sha256 $2) yourself, put it into $RUNSC_CACHE, then run this again"
}

# find_platform RUNSC: prints the first platform that works. ptrace works everywhere, and is the faster one for short
# programs (measured: systrap takes 8 to 40 percent more processor time for each sandbox, and 24 ms per second for
# each one that waits); systrap is for a release that has no ptrace. kvm only on request: on a virtual machine it
# may hang, or crash the machine.
find_platform() {
  local platform
  for platform in ${PLATFORM:-ptrace systrap}; do
    if platform_works "$1" "$platform"; then
      echo "$platform"
      return
    fi
  done
  say "$1 does not run on this machine with the platform ${PLATFORM:-ptrace or systrap}"
  return 1
}

# Runs `true` in a sandbox, with a time-out of a minute. runsc starts its processes in sessions of their
# own, so killing the process group would not reach those of a platform that hangs. They therefore run
# in a PID namespace, which is killed as a whole.
platform_works() {
  local state log status=0
  log=$(mktemp)
  state=$(as_root mktemp -d /tmp/crucible-probe.XXXXXX)
  as_root timeout --signal=KILL 60 unshare --pid --fork --kill-child --mount-proc \
    "$1" --root "$state" --platform="$2" --network=none "do" true </dev/null >"$log" 2>&1 || status=$?
  as_root rm -rf "$state"
  if ((status == 137)); then say "gVisor's platform $2: no response within a minute"
  elif ((status != 0)); then say "gVisor's platform $2: $(tail -n1 "$log")"; fi
  rm -f "$log"
  return "$status"
}
