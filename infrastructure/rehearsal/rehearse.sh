#!/usr/bin/env bash
# Rehearses a deployment to AWS on this machine: rehearse.sh [--short]
#
# User data's own script, in a fresh Debian of its own namespaces: a worker is installed, proves gVisor, takes work from an
# API, is replaced by another release and by the former one again, drains at a spot machine's notice, and leaves nothing.
# --short: with this system's files in the place of a fresh Debian, and one release, as the tests do it.
# CRUCIBLE_BINARY: the program, in the place of a release build. CRUCIBLE_DEBIAN: a directory with the system.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR

script=$PWD/infrastructure/rehearsal/rehearse.sh releases=(former next)
case ${1:-} in
  --short) releases=(former) ;;
  '') ;;
  *) die "rehearse.sh [--short]" ;;
esac
[[ -x $TOOLS/cloud/bin/moto_server ]] || die "moto and Terraform are not here: just setup --with-tests"
if [[ -z ${CRUCIBLE_BINARY:-} ]]; then
  cargo build --locked --release -p stage-10-frontier-events
  CRUCIBLE_BINARY=target/release/stage-10-frontier-events
fi
# Namespaces, mounts and sandboxes take root.
((EUID == 0)) || as_root env "PATH=$PATH" "CRUCIBLE_BINARY=$CRUCIBLE_BINARY" "CRUCIBLE_DEBIAN=${CRUCIBLE_DEBIAN:-}" \
  bash "$script" "$@"
((EUID == 0)) || exit 0

work=$(mktemp -d /var/tmp/crucible-rehearsal.XXXXXX)
chmod 0755 "$work" # the API's own user has a directory in it
child=

# Control groups of the machines' sandboxes: their names have the numbers of the machines' pid namespaces.
groups_left() {
  local namespace
  { cat "$work"/namespaces 2>/dev/null || true; } | while read -r namespace; do
    find /sys/fs/cgroup -depth -type d -path "*/crucible-runsc/*.$namespace.*" 2>/dev/null
  done
}

clean() {
  [[ -z $child ]] || { kill -KILL "$child" 2>/dev/null && wait "$child" 2>/dev/null; } || true
  groups_left | xargs --no-run-if-empty rmdir 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

# A debug build is some 200 MB larger with its symbols.
strip --strip-all -o "$work/program" "$CRUCIBLE_BINARY"

if [[ -n ${CRUCIBLE_DEBIAN:-} ]]; then
  cp -a --reflink=auto "$CRUCIBLE_DEBIAN" "$work/debian"
elif ((${#releases[@]} > 1)); then
  say "making a fresh Debian $DEBIAN_SUITE"
  debian_sources >"$work/sources.list"
  apt-config dump Acquire::http Acquire::https Acquire::Check-Valid-Until >"$work/apt.conf"
  # What Debian's image for EC2 has and user data needs.
  mmdebstrap --quiet --variant=minbase --aptopt="$work/apt.conf" --include=ca-certificates,curl,python3 \
    "$DEBIAN_SUITE" "$work/debian" "$work/sources.list" >&2
fi
bundles=()
for release in "${releases[@]}"; do
  say "packing the release '$release'"
  CRUCIBLE_BINARY=$work/program CRUCIBLE_RELEASE=$release CRUCIBLE_GZIP=-1 \
    bash infrastructure/terraform/bundle.sh "$work/$release.tar.gz" >/dev/null
  bundles+=("$work/$release.tar.gz")
done

# Process 1 of these namespaces is the cloud: with it everything ends, whatever happens, mounts and network as well.
unshare --mount --net --pid --fork --kill-child=SIGKILL --mount-proc -- \
  "$TOOLS/cloud/bin/python3" -B infrastructure/rehearsal/cloud.py "$work" "$work/program" "${bundles[@]}" &
child=$!
wait "$child" || { child=; die "the rehearsal has failed; its reason is above"; }
child=

# --- nothing is left
echo "$work" >"$work.name" # in a file: the search would find its own command line
left=$(grep --files-with-matches --fixed-strings --file "$work.name" /proc/[0-9]*/{cmdline,mountinfo} 2>/dev/null || true)
rm "$work.name"
[[ -z $left ]] || die "processes or mounts are left: $left"
left=$(groups_left)
[[ -z $left ]] || die "control groups are left: $left"
rm -rf --one-file-system "$work"
[[ ! -e $work ]] || die "$work is left"
echo "rehearsal: no process, mount, control group or file is left"
