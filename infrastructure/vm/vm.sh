#!/usr/bin/env bash
# Runs the tests in virtual machines as users have them; see usage below.
set -euo pipefail
shopt -s inherit_errexit

usage() {
  cat <<'END'
Usage: vm.sh [--short] [--keep] [SUITE]...

Boots Debian as users have it, with systemd, cgroups of version 2 and Docker and runsc
from its packages, in qemu without hardware support, and runs in it: README's first
command, the tests of every engine and queue, doctor, probes of stages 04 to 06, kill -9
of a server, a restart of Docker. SUITE is bookworm or trixie; default: both.

  --short  only the first command, doctor, the tests of the engines and 34 probes
  --keep   do not delete the disk with the binaries and logs
  --help   show this

The virtual machine has no network. What it needs is carried in on a disk: the binaries,
which are built here, the sandbox image and its files. Images are cached in
/var/cache/crucible. Logs are written to target/vm.

Environment:
  CRUCIBLE_VM_CPUS, CRUCIBLE_VM_MEMORY  processors and MiB of each (2, 3072)
  CRUCIBLE_VM_ONLY                      names of the parts to run; see guest.sh
END
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
short=0 keep=0 suites=()
while (($#)); do
  case $1 in
    --short) short=1 ;;
    --keep) keep=1 ;;
    bookworm | trixie) suites+=("$1") ;;
    --help | -h) usage && exit 0 ;;
    *) echo "vm.sh: unknown argument '$1'; try --help" >&2 && exit 2 ;;
  esac
  shift
done
if ((${#suites[@]} == 0)); then suites=(bookworm trixie); fi

# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source "$HERE/../setup/lib.sh"
PLATFORM='' SETUP=$REPOSITORY/infrastructure/setup
# shellcheck source-path=SCRIPTDIR source=../setup/runsc.sh
source "$SETUP/runsc.sh"
cd "$REPOSITORY"

CACHE=/var/cache/crucible
OUTPUT=${CARGO_TARGET_DIR:-$REPOSITORY/target}/vm
# The packages whose tests run inside.
PACKAGES=(stage-02-queue stage-03-monitoring stage-04-docker stage-05-gvisor stage-06-advanced ladder)
PINS=/etc/crucible

have qemu-system-x86_64 || { say "installing qemu"; as_root apt-get update -qq >&2 || true; apt_install qemu-system-x86; }
mkdir -p "$OUTPUT"

# image SUITE: prints the directory of its image, which is built when its recipe has changed.
image() {
  local recipe directory
  recipe=$(cat "$HERE/image.sh" "$HERE/packages.sh" | sha256sum | cut -c1-16)
  directory=$CACHE/vm-$1-$recipe
  if [[ ! -e $directory/root.ext4 ]]; then
    as_root mkdir -p "$CACHE"
    as_root find "$CACHE" -maxdepth 1 \( -name "vm-$1-*" -o -name 'building.*' -mmin +60 \) -exec rm -rf {} +
    as_root bash "$HERE/image.sh" "$1" "$directory"
  fi
  echo "$directory"
}

# carry DIRECTORY: everything that the virtual machine needs beside its packages.
carry() {
  local to=$1 repository=$1/repository
  mkdir -p "$repository"
  git ls-files -z | xargs -0 cp --parents --no-dereference -t "$repository" 2>/dev/null || true
  say "building the tests and the stages' binaries"
  cargo nextest archive --cargo-quiet --locked "${PACKAGES[@]/#/--package=}" --archive-file "$to/tests.tar.zst" >&2
  tar -C "$repository" --zstd -xf "$to/tests.tar.zst"
  rm "$to/tests.tar.zst"
  # Debug information is most of their size.
  find "$repository/target" -type f -perm /111 -exec strip --strip-debug {} + 2>/dev/null || true
  cp "$(command -v cargo-nextest)" "$to/"
  cargo --version >"$to/cargo-version"
  cp "$HERE/guest.sh" "$to/"
  cp "$HERE/nextest.toml" "$to/"
  cp -r "$HERE/guest" "$to/"
  mkdir "$to/pins"
  cp "$PINS"/image "$PINS"/rootfs "$to/pins/"
  dock save --output "$to/image.tar" "$(cat "$PINS/image")"
  as_root tar -C / -cf "$to/rootfs.tar" "$(sed 's|^/||' "$PINS/rootfs")"
  carry_runsc "$to"
  printf 'REPOSITORY=%q SHORT=%q ONLY=%q\n' "$REPOSITORY" "$short" "${CRUCIBLE_VM_ONLY-}" >"$to/options"
}

# The package that set-up installs on Debian 12, which has an older one.
carry_runsc() {
  local release version architecture hash package
  read -r release version architecture hash <<<"$(pinned_runsc)"
  package=runsc_${version}_$architecture.deb
  if ! echo "$hash  $RUNSC_CACHE/$package" | sha256sum --check --status 2>/dev/null; then
    as_root mkdir -p "$RUNSC_CACHE"
    fetch_runsc "$package" "$hash" "$RUNSC_CACHE/$package"
  fi
  cp "$RUNSC_CACHE/$package" "$1/"
}

# boot SUITE: runs the virtual machine to its end. Its disks are not changed.
boot() {
  local suite=$1 directory status logs
  directory=$(image "$suite")
  logs=$OUTPUT/$suite
  rm -rf "$logs"
  mkdir -p "$logs"
  # The logs come out as an archive on a disk of their own.
  truncate --size=64M "$logs/logs.tar"
  say "$suite: booting; its console is in $logs/console.log"
  # Without hardware support: kvm inside of a virtual machine was seen to hang. With -icount, time inside passes
  # with the instructions that are executed: a host that is slow or busy makes no time-out pass there.
  nice -n "${CRUCIBLE_VM_NICE:-15}" timeout "${CRUCIBLE_VM_TIMEOUT:-7200}" qemu-system-x86_64 \
    -machine q35 -accel tcg,thread=single -icount shift=0,sleep=on -cpu max -smp "${CRUCIBLE_VM_CPUS:-2}" -m "${CRUCIBLE_VM_MEMORY:-3072}" \
    -display none -no-reboot -nic none -serial "file:$logs/console.log" -monitor none \
    -device virtio-rng-pci \
    -kernel "$directory/vmlinuz" -initrd "$directory/initrd.img" \
    -append "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=-1 systemd.show_status=false" \
    -drive "file=$directory/root.ext4,format=raw,if=virtio,snapshot=on" \
    -drive "file=$carried,format=raw,if=virtio,snapshot=on" \
    -drive "file=$logs/logs.tar,format=raw,if=virtio" >&2 || true
  tar -C "$logs" -xf "$logs/logs.tar" 2>/dev/null || true
  rm -f "$logs/logs.tar"
  status=$(cat "$logs/status" 2>/dev/null || echo "it did not come to its end; see $logs/console.log")
  cat "$logs/summary" 2>/dev/null || tail -n 20 "$logs/console.log"
  [[ $status == 0 ]] || { say "$suite: failed: $status"; return 1; }
}

staging=$(mktemp -d "$OUTPUT/carried.XXXXXX")
trap 'rm -rf "$staging"' EXIT
carry "$staging"
carried=$OUTPUT/carried.ext4
rm -f "$carried"
truncate --size=3G "$carried" # sparse
as_root mkfs.ext4 -q -F -L carried -E lazy_itable_init=1,root_owner=0:0 -d "$staging" "$carried"
failed=0
for suite in "${suites[@]}"; do boot "$suite" || failed=1; done
((keep)) || rm -f "$carried"
exit "$failed"
