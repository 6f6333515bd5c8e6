# The sandbox image's files in a folder, for the stages that drive runsc themselves, and a pin that
# says which folder. Sourced.
# shellcheck shell=bash

: "${PINS:?}" # set by image.sh
ROOTFS_HOME=/var/lib/crucible

# The folder that belongs to the pinned image: the image's hash is its name.
rootfs_folder() {
  local pin
  pin=$(cat "$PINS/image" 2>/dev/null) || return 1
  echo "$ROOTFS_HOME/rootfs-${pin#sha256:}"
}

rootfs_is_there() {
  local folder
  folder=$(rootfs_folder) || return 1
  [[ $(cat "$PINS/rootfs" 2>/dev/null) == "$folder" && -e $folder/usr/bin/python3 ]]
}

rootfs_plan() {
  rootfs_is_there ||
    echo "unpack the sandbox image into a folder in $ROOTFS_HOME (60 MB) and name it in $PINS/rootfs"
}

rootfs_do() {
  local folder container
  ! rootfs_is_there || return 0
  folder=$(rootfs_folder)
  say "unpacking the sandbox image into $folder"
  # A runsc without rights has to pass through here; what is in it, only root can change.
  as_root install -d -m 0755 "$ROOTFS_HOME"
  # Made beside its place, which holds a whole one or none.
  as_root rm -rf "$folder.new"
  as_root install -d -m 0755 "$folder.new"
  container=$(dock create --network none "$(cat "$PINS/image")")
  dock export "$container" | as_root tar -C "$folder.new" --extract --preserve-permissions --numeric-owner ||
    { dock rm "$container" >/dev/null; die "the image could not be unpacked into $folder.new"; }
  dock rm "$container" >/dev/null
  as_root rm -f "$folder.new/.dockerenv" # Docker's own mark, in no image
  as_root rm -rf "$folder"
  as_root mv "$folder.new" "$folder"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root bash -c 'umask 022; echo "$1" >"$2.new"; mv "$2.new" "$2"' - "$folder" "$PINS/rootfs"
  # What runs has links of its own to the files of the image that it was started with.
  as_root find "$ROOTFS_HOME" -mindepth 1 -maxdepth 1 -name 'rootfs-*' ! -path "$folder" -exec rm -rf {} +
}
