#!/usr/bin/env bash
# Makes a worker's bundle for user data out of this machine's files: bundle.sh FILE [amazon-ssm-agent.deb]
#
# The same files give the same bytes. Prints the bundle's SHA-256, for the variable worker_bundle. CRUCIBLE_BINARY is the
# program in the place of one that is built here, CRUCIBLE_RELEASE the name of the release (git's, if it is not given),
# and CRUCIBLE_GZIP the level of compression.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR

file=$(realpath -m "${1:?bundle.sh FILE [amazon-ssm-agent.deb]}") agent=${2:-} profile=${CRUCIBLE_PROFILE:-release}
rootfs=$(cat /etc/crucible/rootfs) || die "there are no sandbox files yet: bash infrastructure/setup/setup.sh"
runsc=$(readlink -f "$(command -v runsc)")

binary=${CRUCIBLE_BINARY:-target/$profile/stage-10-frontier-events}
[[ -n ${CRUCIBLE_BINARY:-} ]] || cargo build --locked -p stage-10-frontier-events --profile "${profile/debug/dev}"
work=$(mktemp -d /var/tmp/crucible-bundle.XXXXXX)
trap 'as_root rm -rf "$work"' EXIT
chmod 0755 "$work" # becomes the mode of the machine's root, through which unprivileged users go

install -d "$work"/{usr/local/bin,usr/local/lib/crucible,etc/crucible,etc/systemd/system,var/lib/crucible}
install -T "$binary" "$work/usr/local/bin/stage-10-frontier-events"
install "$runsc" "$work/usr/local/bin/runsc"
echo "${CRUCIBLE_RELEASE:-$(git describe --always --dirty)}" >"$work/usr/local/lib/crucible/release"
install infrastructure/systemd/spot-notice.sh "$work/usr/local/lib/crucible/"
install -m 0644 infrastructure/systemd/crucible-{worker,spot}.service "$work/etc/systemd/system/"
[[ -z $agent ]] || install -m 0644 "$agent" "$work/usr/local/lib/crucible/amazon-ssm-agent.deb"
as_root chown -R 0:0 "$work"
# The files of the sandboxes with their owners and their list, and the pins that name them.
as_root cp -a "$rootfs" "$rootfs.manifest" "$work/var/lib/crucible/"
as_root cp -a /etc/crucible/{image,rootfs} "$work/etc/crucible/"

as_root tar -C "$work" --sort=name --mtime=@0 --numeric-owner -c . | gzip -n "${CRUCIBLE_GZIP:--6}" >"$file"
sha256sum "$file" | cut -d' ' -f1
