#!/usr/bin/env bash
# Installs what Crucible needs and this machine lacks; see usage below.
set -euo pipefail
shopt -s inherit_errexit

usage() {
  cat <<'EOF'
Usage: setup.sh [--check] [--with-tests] [--platform P]

Installs what Crucible needs: a container engine, gVisor's runsc and its entry in
Docker's configuration, the sandbox image, a directory with its files, and `just`.
Prints its plan before it acts, changes nothing that is already right, and is safe
to run again.

  --check       only print the plan; exit 1 if it is not empty
  --with-tests  also install what the tests and the linter need
  --platform P  make gVisor use the platform P (systrap, ptrace, kvm) instead of
                the first of ptrace and systrap that works
  --help        show this

Environment:
  CRUCIBLE_IMAGE  a sandbox image to pull, as name@sha256:..., built by these scripts;
                  without it the image is built here, from Debian's packages
EOF
}

SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$SETUP/../.." && pwd)
CHECK=0 WITH_TESTS=0 PLATFORM=
while (($#)); do
  case $1 in
    --check) CHECK=1 ;;
    --with-tests) WITH_TESTS=1 ;;
    --platform) PLATFORM=${2:?--platform needs a name} && shift ;;
    --help | -h) usage && exit 0 ;;
    *) echo "setup.sh: unknown argument '$1'; try --help" >&2 && exit 2 ;;
  esac
  shift
done
case $PLATFORM in '' | systrap | ptrace | kvm) ;; *) echo "setup.sh: no such platform: '$PLATFORM'" >&2 && exit 2 ;; esac

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$SETUP/lib.sh"
# shellcheck source-path=SCRIPTDIR source=tools.sh
source "$SETUP/tools.sh"
# shellcheck source-path=SCRIPTDIR source=docker.sh
source "$SETUP/docker.sh"
# shellcheck source-path=SCRIPTDIR source=runsc.sh
source "$SETUP/runsc.sh"
# shellcheck source-path=SCRIPTDIR source=image.sh
source "$SETUP/image.sh"
# shellcheck source-path=SCRIPTDIR source=rootfs.sh
source "$SETUP/rootfs.sh"
# shellcheck source-path=SCRIPTDIR source=contract.sh
source "$SETUP/contract.sh"
# shellcheck source-path=SCRIPTDIR source=brokers.sh
source "$SETUP/brokers.sh"
# shellcheck source-path=SCRIPTDIR source=clients.sh
source "$SETUP/clients.sh"
# shellcheck source-path=SCRIPTDIR source=cloud.sh
source "$SETUP/cloud.sh"

plan=$(tools_plan; docker_plan; runsc_plan; image_plan; rootfs_plan; contract_plan; brokers_plan; clients_plan; cloud_plan)
if [[ -z $plan ]]; then
  say "nothing is missing"
  exit 0
fi
say "this will:"
printf '  - %s\n' "${plan//$'\n'/$'\n'  - }" >&2
if ((CHECK)); then exit 1; fi

# In the order of their dependencies: Docker is started after its configuration is written, so that a
# new dockerd needs no reload.
packages_do
runsc_do
docker_do
image_do
rootfs_do
tools_do
contract_do
brokers_do
clients_do
cloud_do
rust_do
say "done"
