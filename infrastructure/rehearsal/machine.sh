#!/usr/bin/env bash
# The boot of a machine, in namespaces of its own: machine.sh ROOT NAME   (rehearse.sh's cloud.py calls it)
#
# Makes ROOT the root, and becomes the machine's process 1: it runs user data as cloud-init would, and stops the services
# when the machine is turned off.
set -euo pipefail
shopt -s inherit_errexit

root=$1 name=$2

echo "$name" >/proc/sys/kernel/hostname
mount --rbind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0=stdin 1=stdout 2=stderr; do ln -s "/proc/self/fd/${number%=*}" "dev/${number#*=}"; done
# Of the control groups that this machine leaves: their names have this number.
readlink /proc/self/ns/pid | tr -cd 0-9 >run/rehearsal/namespace

mkdir -p mnt/host
pivot_root . mnt/host
cd /
umount --lazy /mnt/host
# shellcheck disable=SC2016 # expanded by the machine's shell
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 bash -c '
set -a; source /run/rehearsal/environment; set +a
bash /run/rehearsal/user-data >/var/log/cloud-init-output.log 2>&1
echo $? >/run/rehearsal/user-data.status.new
mv /run/rehearsal/user-data.status.new /run/rehearsal/user-data.status
until [[ -e /run/rehearsal/poweroff ]]; do sleep 0.1; done
systemctl stop crucible-spot.service crucible-worker.service'
