# The sandbox image's files in a directory, for the stages that drive runsc themselves, and a pin that
# names the directory. Sourced.
# shellcheck shell=bash

: "${PINS:?}" # set by image.sh
ROOTFS_HOME=/var/lib/crucible

# Prints the directory of the pinned image. Its name contains the image's hash.
rootfs_dir() {
  local pin
  pin=$(cat "$PINS/image" 2>/dev/null) || return 1
  echo "$ROOTFS_HOME/rootfs-${pin#sha256:}"
}

# rootfs_manifest DIR: prints the list of all files that a sandbox gets, with kind, mode, owner and content. Stage 06
# compares it with the files when it starts, and names its digest in every answer (gvisor/manifest.rs).
rootfs_manifest() (
  cd "$1" || return 1
  set -o pipefail
  export LC_ALL=C
  files() { find . -mindepth 1 "$@" ! -path ./etc/hosts ! -path ./etc/hostname ! -path ./etc/resolv.conf "${print[@]}"; }
  print=(-printf '%y %m %U %G %p -> %l\0')
  files \( -type f -o -type d -o -type l \) | sort --zero-terminated || return 1
  print=(-print0)
  files -type f | xargs --null --no-run-if-empty sha256sum --zero | sort --zero-terminated
)

rootfs_is_there() {
  local dir
  dir=$(rootfs_dir) || return 1
  [[ $(cat "$PINS/rootfs" 2>/dev/null) == "$dir" && -e $dir/usr/bin/python3 && -e $dir.manifest ]] || return 1
  rootfs_manifest "$dir" 2>/dev/null | cmp --quiet - "$dir.manifest"
}

rootfs_plan() {
  rootfs_is_there ||
    echo "unpack the sandbox image into a directory in $ROOTFS_HOME (60 MB), with a list of its files, and name it in $PINS/rootfs"
}

rootfs_do() {
  local dir container
  ! rootfs_is_there || return 0
  dir=$(rootfs_dir)
  say "unpacking the sandbox image into $dir"
  # An unprivileged runsc must be able to traverse this directory; only root can change its content.
  as_root install -d -m 0755 "$ROOTFS_HOME"
  # Unpacked beside its final path and renamed, so that the final path is either complete or absent.
  as_root rm -rf "$dir.new"
  as_root install -d -m 0755 "$dir.new"
  container=$(dock create --network none "$(cat "$PINS/image")")
  dock export "$container" | as_root tar -C "$dir.new" --extract --preserve-permissions --numeric-owner ||
    { dock rm "$container" >/dev/null; die "the image could not be unpacked into $dir.new"; }
  dock rm "$container" >/dev/null
  as_root rm -f "$dir.new/.dockerenv" # created by Docker, not part of the image
  rootfs_manifest "$dir.new" | as_root tee "$dir.manifest.new" >/dev/null
  as_root rm -rf "$dir"
  as_root mv "$dir.new" "$dir"
  as_root mv "$dir.manifest.new" "$dir.manifest"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root bash -c 'umask 022; echo "$1" >"$2.new"; mv "$2.new" "$2"' - "$dir" "$PINS/rootfs"
  # Running stages have hard links to the files of the image they were started with, so older ones can go.
  as_root find "$ROOTFS_HOME" -mindepth 1 -maxdepth 1 -name 'rootfs-*' ! -path "$dir" ! -path "$dir.manifest" -exec rm -rf {} +
}
