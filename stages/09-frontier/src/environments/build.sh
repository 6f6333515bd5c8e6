# Builds the tree of an environment, behind the functions of infrastructure/setup/lib.sh: `bash -c SCRIPT build WORK`,
# as root, in mount and network namespaces that `confine` makes. Standard input is a list of lines: `package NAME`,
# `requirement TEXT`, `link PATH TARGET`.
#
# Nothing of a package runs: Debian's are unpacked without their installation scripts, and of PyPI's only wheels are
# taken, which pip unpacks. What a package may do is to have files and links, and a link may lead out of the tree. So
# every file system of the machine is read-only here but the directory WORK.
# shellcheck shell=bash

# ANCHOR: confine
# Runs this script once more with all file systems read-only except WORK.
confine() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec unshare --mount --propagation private bash -c '
    set -euo pipefail
    work=$1 script=$2
    mount --bind "$work" "$work"
    while read -r _ _ _ _ point _; do
      point=$(printf %b "$point")
      [[ $point == "$work" ]] || mount -o remount,bind,ro "$point" 2>/dev/null || unwritable+=("$point")
    done </proc/self/mountinfo
    # One that cannot be made read-only must not have been writable.
    for point in "${unwritable[@]-}"; do
      if [[ -n $point && -d $point && $point != /proc* && $point != /sys* && $point != /dev* ]] &&
        probe=$(mktemp "$point/.crucible-XXXXXX" 2>/dev/null); then
        rm -f "$probe"
        echo "$point cannot be made read-only" >&2
        exit 1
      fi
    done
    CONFINED=1 exec bash -c "$script" build "$work"' - "$1" "$BASH_EXECUTION_STRING"
}
# ANCHOR_END: confine

# Unpacks Debian packages and what they depend on. Their names and versions go to WORK/debian.
debian() {
  local packages
  packages=$(IFS=,; echo "$*")
  debian_sources >"$work/sources.list"
  apt-config dump Acquire::http Acquire::https Acquire::Check-Valid-Until >"$work/apt.conf"
  mmdebstrap --quiet --variant=extract --aptopt="$work/apt.conf" --skip=cleanup/apt,cleanup/reproducible \
    --include="$packages" "$DEBIAN_SUITE" "$tree" "$work/sources.list" >&2
  # NAME_VERSION_ARCHITECTURE.deb, in which %3a is a colon.
  find "$tree/var/cache/apt/archives" -name '*.deb' -printf '%f\n' |
    sed 's/_[^_]*$//; s/_/=/; s/%3a/:/' | sort >"$work/debian"
}

# In the layout of a merged /usr, with only what a program can use.
clean() {
  local directory
  for directory in bin sbin lib lib32 lib64 libx32; do
    [[ ! -L $tree/$directory ]] || rm "$tree/$directory"
    if [[ -d $tree/$directory ]]; then
      mkdir -p "$tree/usr/$directory"
      cp -a --remove-destination "$tree/$directory/." "$tree/usr/$directory/"
      rm -rf "${tree:?}/$directory"
    fi
    if [[ -d $tree/usr/$directory ]]; then ln -s "usr/$directory" "$tree/$directory"; fi
  done
  rm -rf "${tree:?}"/{boot,dev,home,media,mnt,opt,proc,root,run,srv,sys,tmp,var,output} \
    "${tree:?}"/usr/share/{doc,doc-base,man,info,lintian,locale,bug,menu,bash-completion} "${tree:?}"/usr/{games,local,src} \
    "$tree"/etc/{hosts,hostname,resolv.conf,shadow,gshadow} "$tree"/usr/lib/python3*/sitecustomize.py
  mkdir -p "$tree"/{dev,proc,run,sys,tmp,var/tmp,usr/bin,usr/lib,etc}
  printf '%s\n' 'root:x:0:0:root:/:/nonexistent' 'nobody:x:65534:65534:nobody:/tmp:/nonexistent' >"$tree/etc/passwd"
  printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$tree/etc/group"
  echo 'hosts: files' >"$tree/etc/nsswitch.conf"
}

# Unpacks wheels where Debian's Python looks for modules.
wheels() {
  local site=$tree/usr/lib/python3/dist-packages pip=/opt/crucible/venv/bin/pip
  [[ -x $pip ]] || pip=pip3
  "$pip" --no-input --disable-pip-version-check --no-cache-dir install --quiet --no-deps --require-hashes \
    --only-binary :all: --no-compile --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
    --platform "manylinux2014_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" --root-user-action=ignore \
    --target "$work/site" --requirement "$work/requirements" >&2
  # Programs that name the Python of this machine, and the lines about them. The tests of the packages are half of
  # their files, and a server that uses an environment makes a link to each.
  rm -rf "$work/site/bin"
  find "$work/site" -depth -type d -name tests -exec rm -rf {} +
  find "$work/site" -path '*.dist-info/RECORD' -exec sed -i -e '/^bin\//d' -e '/^\.\.\//d' {} +
  mkdir -p "$site"
  cp -a "$work/site/." "$site/"
}

# Compiles all modules, as they could not be in a sandbox, whose root is read-only. The files name no time, and are
# made by one process in one order, so that they are the same each time. `-S`: no start-up code of a package runs.
compile() {
  local python
  python=$(cd "$tree/usr/bin" && find . -maxdepth 1 -type f -name 'python3.*[0-9]' -printf '%f' -quit)
  [[ -n $python ]] || return 0
  PYTHONHASHSEED=0 chroot "$tree" "/usr/bin/$python" -S -E -s -m compileall -q --invalidation-mode unchecked-hash \
    -x '/bad|lib2to3/tests/data|/tests/' "/usr/lib/$python" /usr/lib/python3 >&2 || true
}

build() {
  local kind name target packages=()
  work=$1 tree=$1/tree
  export TMPDIR=$work/tmp SOURCE_DATE_EPOCH=0 HOME=$work/tmp LC_ALL=C
  mkdir -p "$TMPDIR"
  : >"$work/requirements"
  : >"$work/links"
  while read -r kind name target; do
    case $kind in
      package) packages+=("$name") ;;
      requirement) echo "$name $target" >>"$work/requirements" ;;
      link) echo "$name $target" >>"$work/links" ;;
    esac
  done <"$work/list"
  debian "${packages[@]}"
  clean
  if [[ -s $work/requirements ]]; then wheels; fi
  while read -r name target; do
    mkdir -p "$(dirname "$tree/$name")"
    ln -sfn "$target" "$tree/$name"
  done <"$work/links"
  ldconfig -r "$tree" 2>/dev/null
  rm -rf "$tree/var/cache"
  compile
  # No device, no pipe, no right of a user: and what all may read.
  find "$tree" ! -type f ! -type d ! -type l -delete
  find "$tree" ! -type l -exec chmod a-st,go-w,a+rX {} +
  chmod 1777 "$tree/tmp" "$tree/var/tmp"
  chown -R --no-dereference 0:0 "$tree"
}

if [[ -z ${CONFINED-} ]]; then confine "$1"; fi
build "$1"
