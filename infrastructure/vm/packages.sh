# What is installed in the virtual machines, from Debian's own packages. Sourced.
# shellcheck shell=bash

# vm_packages SUITE: what a user's machine has, and what set-up would install, separated by IFS.
vm_packages() {
  local packages=(systemd-sysv dbus udev kmod linux-image-cloud-amd64 docker.io iptables apparmor runsc
    python3 python3-venv procps iproute2 curl ca-certificates sudo mmdebstrap debian-archive-keyring)
  # Debian 13 packages the client separately.
  [[ $1 == bookworm ]] || packages+=(docker-cli)
  echo "${packages[*]}"
}
