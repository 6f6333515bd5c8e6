#!/usr/bin/env bash
# Runs inside of the virtual machine, as root, started by its guest.service. vm.sh carries it in.
#
# Each part prints one line to the console and into the summary, and has a log of its own. The last act is
# to write the logs to the third disk.
set -uo pipefail

# shellcheck source=/dev/null
source /carried/options # REPOSITORY, SHORT, ONLY
LOGS=/var/log/crucible
export PATH=/carried/guest:/carried:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 RUST_BACKTRACE=1 CARGO=/carried/guest/cargo
BIN=$REPOSITORY/target/debug
mkdir -p "$LOGS"
failed=()

line() { printf '%s\n' "$*" | tee -a "$LOGS/summary" >/dev/ttyS0; }

# part NAME COMMAND...: runs one part, and records whether it succeeded and how long it took.
part() {
  local name=$1 began=$SECONDS status=0
  shift
  [[ -z $ONLY || " $ONLY " == *" $name "* ]] || return 0
  (set -e; "$@") >"$LOGS/$name.log" 2>&1 || status=$?
  if ((status == 0)); then line "ok    $name ($((SECONDS - began)) s)"
  else
    failed+=("$name")
    line "FAIL  $name ($((SECONDS - began)) s), status $status; the end of its log:"
    tail -n 40 "$LOGS/$name.log" | sed 's/^/      /' | tee -a "$LOGS/summary" >/dev/ttyS0
  fi
}

prepare() {
  mkdir -p "$REPOSITORY" /etc/crucible
  mount --bind /carried/repository "$REPOSITORY"
  docker load --input /carried/image.tar
  mkdir -p /var/cache/crucible
  cp /carried/*.deb /var/cache/crucible/
  cp /carried/pins/* /etc/crucible/
  tar -C / -xf /carried/rootfs.tar
}

facts() {
  systemctl --version | head -n 1
  uname -r
  stat --file-system --format 'cgroup file system: %T' /sys/fs/cgroup
  [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]
  docker info --format 'Docker {{.ServerVersion}}, cgroups of version {{.CgroupVersion}}, driver {{.CgroupDriver}}, storage {{.Driver}}'
  [[ $(docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}') == '2 systemd' ]]
  runsc --version
  dpkg-query --show docker.io runsc systemd
  echo "AppArmor: $(cat /sys/module/apparmor/parameters/enabled)"
}

# README's first command. What it fetches or compiles was carried in; everything else is done for real.
readme() { bash infrastructure/demo.sh; }

doctor() {
  "$BIN/stage-04-docker" doctor
  "$BIN/stage-05-gvisor" doctor
  "$BIN/stage-06-advanced" doctor
  "$BIN/stage-06-advanced" doctor --engine docker
  "$BIN/stage-06-advanced" doctor --engine gvisor-docker
}

nextest() {
  cargo-nextest nextest run --binaries-metadata target/nextest/binaries-metadata.json \
    --cargo-metadata target/nextest/cargo-metadata.json --workspace-remap "$REPOSITORY" \
    --target-dir-remap "$REPOSITORY/target" --config-file /carried/nextest.toml --no-fail-fast \
    --color never --status-level all --final-status-level fail -E "$1"
}

# probes STAGE ARGUMENT...
probes() { "$BIN/ladder" attack --stage "$@"; }

part prepare prepare
cd "$REPOSITORY" || exit 1
part facts facts
sed 's/^/      /' "$LOGS/facts.log" | tee -a "$LOGS/summary" >/dev/ttyS0
part readme readme
part doctor doctor
if ((SHORT)); then
  # The tests of the engines themselves, and 34 probes of the default engine.
  part tests-engines nextest 'package(/^stage-0[45]-/) & test(/^engine::/) | package(stage-06-advanced) & test(/^gvisor::/)'
  for group in host-files breakout processes network; do part "probes-6-$group" probes 6 --group "$group"; done
else
  part live python3 /carried/guest/live.py "$BIN"
  for package in stage-06-advanced stage-04-docker stage-05-gvisor stage-02-queue stage-03-monitoring; do
    part "tests-$package" nextest "package($package)"
  done
  for stage in 6 4 5; do part "probes-$stage" probes "$stage"; done
fi
journalctl --boot --no-pager >"$LOGS/journal.log" 2>&1
line "$((SECONDS)) s; failed: ${failed[*]:-nothing}"
if ((${#failed[@]} == 0)); then echo 0; else echo "${failed[*]}"; fi >"$LOGS/status"
tar -C "$LOGS" -cf /dev/vdc .
sync
