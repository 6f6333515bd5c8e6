# The sandbox image and its pin: a file with the digest of the only image that the stages use. Sourced.
# shellcheck shell=bash

PINS=/etc/crucible
# All of Python 3.11's standard library, except what needs a display (tkinter, idlelib, turtle) or
# installs packages (ensurepip).
IMAGE_PACKAGES=(python3 python3-distutils python3-lib2to3 tzdata media-types libgcc-s1)
TESTSUITE_PACKAGES=("${IMAGE_PACKAGES[@]}" libpython3.11-testsuite dash)

# A hash over everything that determines an image. It is stored in the image's comment; a different hash
# means that the image must be built again. Editing a comment in build_image.sh changes it, too.
image_recipe() { { cat "$SETUP/build_image.sh"; echo "$DEBIAN_SUITE" "$@"; } | sha256sum | cut -d' ' -f1; }

# image_is_there PIN_FILE PACKAGE...: whether Docker has the pinned image, and it was built by this
# recipe or pulled by its digest.
image_is_there() {
  local pin made_by
  pin=$(cat "$PINS/$1" 2>/dev/null) || return 1
  made_by=$(dock image inspect --format '{{.Comment}} {{.RepoDigests}}' "$pin" 2>/dev/null) || return 1
  shift
  [[ $made_by == "$(image_recipe "$@") "* || (-n ${CRUCIBLE_IMAGE-} && $made_by == *"${CRUCIBLE_IMAGE#*@}"*) ]]
}

image_plan() {
  if [[ -n ${CRUCIBLE_IMAGE-} && $CRUCIBLE_IMAGE != *@sha256:* ]]; then
    die "CRUCIBLE_IMAGE must name its digest, as in name@sha256:..."
  fi
  if ! docker_answers; then
    # The list of images needs a running dockerd.
    echo "build the sandbox images, if dockerd does not have those pinned in $PINS"
    return
  fi
  image_is_there image "${IMAGE_PACKAGES[@]}" ||
    echo "build the sandbox image crucible/python:local (60 MB, from Debian's packages) and pin it in $PINS/image"
  if ((WITH_TESTS)) && ! image_is_there image-testsuite "${TESTSUITE_PACKAGES[@]}"; then
    echo "build crucible/python-testsuite:local, the same with Python's own tests, and pin it in $PINS/image-testsuite"
  fi
}

image_do() {
  if ! image_is_there image "${IMAGE_PACKAGES[@]}"; then
    pull_image || make_image crucible/python:local "${IMAGE_PACKAGES[@]}"
    pin_image crucible/python:local image
  fi
  if ((WITH_TESTS)) && ! image_is_there image-testsuite "${TESTSUITE_PACKAGES[@]}"; then
    make_image crucible/python-testsuite:local "${TESTSUITE_PACKAGES[@]}"
    pin_image crucible/python-testsuite:local image-testsuite
  fi
}

# A registry is used only for an image that was built by these scripts and is named by its digest in
# CRUCIBLE_IMAGE (name@sha256:...). The public Python images are not suitable: they contain a shell, a
# package manager and setuid programs.
pull_image() {
  [[ -n ${CRUCIBLE_IMAGE-} ]] || return 1
  say "pulling $CRUCIBLE_IMAGE"
  if dock pull --quiet "$CRUCIBLE_IMAGE" >/dev/null; then dock tag "$CRUCIBLE_IMAGE" crucible/python:local
  else
    say "the registry cannot be reached: building from Debian's packages instead"
    return 1
  fi
}

make_image() {
  local tag=$1
  shift
  as_root bash "$SETUP/build_image.sh" "$tag" "$(image_recipe "$@")" "$@"
}

# Pins an image after a test run: one that cannot start Python under this isolation is never pinned.
pin_image() {
  local id
  id=$(dock image inspect --format '{{.Id}}' "$1")
  dock run --rm --network none --read-only --cap-drop ALL --user 65534:65534 "$id" \
    /usr/bin/python3 -I -c 'import ctypes, hashlib, json, sqlite3, ssl, zoneinfo' ||
    die "the image $1 does not run Python; it is not pinned"
  as_root mkdir -p "$PINS"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root bash -c 'umask 022; echo "$1" >"$2.new"; mv "$2.new" "$2"' - "$id" "$PINS/$2"
  say "pinned $1 as $id"
}
