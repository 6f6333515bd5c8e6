#!/usr/bin/env bash
# Builds a container image of stage 9's server: build.sh [TAG]   (needs Docker; set-up has been run)
#
# With CRUCIBLE_STAGE=stage-10-frontier-events it is that of stage 10, for API and workers.
#
# From Debian's packages and this machine's runsc and sandbox files; no registry is asked for anything. The
# image has no shell and no package manager: the server, what it is linked with, runsc, and the
# files of the sandboxes.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../setup/lib.sh
source infrastructure/setup/lib.sh
trap - ERR

tag=${1:-crucible/server:local} stage=${CRUCIBLE_STAGE:-stage-09-frontier} profile=${CRUCIBLE_PROFILE:-release}
[[ $stage == stage-10-* ]] && port=8010 || port=8009
rootfs=$(cat /etc/crucible/rootfs) || die "there are no sandbox files yet: bash infrastructure/setup/setup.sh"
runsc=$(readlink -f "$(command -v runsc)")

say "building the server"
cargo build --locked -p "$stage" --profile "${profile/debug/dev}"
binary=target/$profile/$stage

work=$(mktemp -d /var/tmp/crucible-server.XXXXXX)
trap 'as_root rm -rf "$work"' EXIT
tree=$work/tree root=$work/root

say "unpacking Debian's libc6 and libgcc-s1"
extract_debian "$tree" libc6 libgcc-s1

as_root install -d "$root"/{usr/bin,usr/lib,etc/crucible,dev,proc,sys,run,var/lib/crucible}
as_root install -d -m 1777 "$root/tmp" "$root/var/tmp"
for directory in bin lib lib64; do as_root ln -s "usr/${directory/lib64/lib}" "$root/$directory"; done
as_root install "$binary" "$runsc" "$root/usr/bin/"
# The libraries that the server is linked with, and the loader, out of the packages.
for library in $(ldd "$binary" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }'); do
  case $library in
    */ld-linux*) as_root install "$(find "$tree/usr/lib" "$tree/lib/" -name "${library##*/}" -type f -print -quit)" "$root/usr/lib/" ;;
    *) as_root install -D "$(readlink -f "$tree$library")" "$root/usr/${library#/}" ;;
  esac
done
as_root cp -a "$rootfs" "$root/var/lib/crucible/"
for file in "$rootfs".*; do [[ ! -e $file ]] || as_root cp -a "$file" "$root/var/lib/crucible/"; done
as_root cp -a /etc/crucible/. "$root/etc/crucible/"
# The user of the process that speaks HTTP.
as_root tee "$root/etc/passwd" >/dev/null <<<$'root:x:0:0::/:/sbin/nologin\ncrucible:x:64999:64999::/:/sbin/nologin'
as_root tee "$root/etc/group" >/dev/null <<<$'root:x:0:\ncrucible:x:64999:'

say "importing $tag"
as_root tar -C "$root" --numeric-owner -c . | dock import \
  --change 'ENTRYPOINT ["/usr/bin/'"$stage"'"]' \
  --change 'ENV PATH=/usr/bin CRUCIBLE_DATA_DIR=/var/lib/crucible/data CRUCIBLE_LOG_FORMAT=json' \
  --change "VOLUME /var/lib/crucible/data" --change "EXPOSE ${port}" - "$tag"
