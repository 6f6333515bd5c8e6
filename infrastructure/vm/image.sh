#!/usr/bin/env bash
# Builds the disk image of a virtual machine from Debian's packages: image.sh SUITE DIRECTORY  (as root)
#
# DIRECTORY gets root.ext4, vmlinuz and initrd.img. It is built beside its final path and renamed, so that it
# is complete or absent.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source "$HERE/../setup/lib.sh"
# shellcheck source-path=SCRIPTDIR source=packages.sh
source "$HERE/packages.sh"

suite=$1 result=$2
work=$(mktemp -d "$(dirname "$result")/building.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

say "a virtual machine's image: unpacking Debian's $suite"
DEBIAN_SUITE=$suite debian_sources >"$work/sources.list"
apt-config dump Acquire::http Acquire::https Acquire::Check-Valid-Until >"$work/apt.conf"
# Without documentation and translations, which the tests do not read.
mmdebstrap --quiet --variant=minbase --aptopt="$work/apt.conf" --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(IFS=,; vm_packages "$suite")" "$suite" "$root" "$work/sources.list" >&2

echo "debian-$suite" >"$root/etc/hostname"
echo "127.0.0.1 localhost debian-$suite" >"$root/etc/hosts"
# The writable copy of the root file system, and what is carried in: see vm.sh.
cat >"$root/etc/fstab" <<'END'
/dev/vda / ext4 defaults,noatime 0 0
LABEL=carried /carried ext4 defaults,noatime,x-systemd.device-timeout=0 0 0
END
mkdir "$root/carried"
# The programs of the tests end within the limits of the service manager, not of a login.
cat >"$root/etc/systemd/system/guest.service" <<'END'
[Unit]
Description=Crucible's tests in a virtual machine
RequiresMountsFor=/carried
After=multi-user.target docker.service
[Service]
Type=oneshot
ExecStart=/bin/bash /carried/guest.sh
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
[Install]
WantedBy=default.target
END
# A machine that is emulated, on a host that is busy, can take long for everything.
mkdir -p "$root/etc/systemd/system.conf.d"
cat >"$root/etc/systemd/system.conf.d/patient.conf" <<'END'
[Manager]
DefaultTimeoutStartSec=infinity
DefaultTimeoutStopSec=300
DefaultDeviceTimeoutSec=infinity
END
# Nobody is there to repair anything.
mkdir -p "$root/etc/systemd/system/emergency.service.d"
printf '[Service]\nExecStartPre=\nExecStart=\nExecStart=/bin/systemctl --no-block poweroff\n' \
  >"$root/etc/systemd/system/emergency.service.d/poweroff.conf"
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -s ../guest.service "$root/etc/systemd/system/default.target.wants/guest.service"
# Nothing here waits for a person, a network or a clock.
for unit in serial-getty@ttyS0.service getty@tty1.service systemd-timesyncd.service apt-daily.timer \
  apt-daily-upgrade.timer e2scrub_all.timer; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done

cp -L "$root/vmlinuz" "$work/vmlinuz"
cp -L "$root/initrd.img" "$work/initrd.img"
find "$root/boot" "$root/var/lib/apt/lists" -mindepth 1 -delete
say "a virtual machine's image: writing its file system"
truncate --size=4G "$work/root.ext4" # sparse
mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$work/root.ext4"
rm -rf "$root" "$work/sources.list" "$work/apt.conf"
chmod 755 "$work"
rm -rf "$result"
mv "$work" "$result"
