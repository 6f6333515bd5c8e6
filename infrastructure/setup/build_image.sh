#!/usr/bin/env bash
# Builds a sandbox image from Debian's packages: build_image.sh TAG RECIPE PACKAGE...  (as root)
#
# The image holds Python 3 with its standard library, the shared libraries which that needs, and
# nothing else: no shell, no package manager, no other program, no setuid file, no device node. It
# is put together from a list of what may be in it, because a list of what to take out would miss
# what the next release of a package brings.
set -euo pipefail
shopt -s inherit_errexit

SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$SETUP/lib.sh"

tag=$1 recipe=$2
shift 2

work=$(mktemp -d /var/tmp/crucible-image.XXXXXX)
trap 'rm -rf "$work"' EXIT
tree=$work/tree # the packages, unpacked
root=$work/root # the image

say "unpacking Debian's $*"
extract_debian "$tree" "$@"

# Every module is compiled now. In a sandbox the root is read-only, so that Python could never store
# what it compiles there, and would compile again in every evaluation. The compiled files say that
# they need not be compared with their sources, since neither can change. Some files of the test
# suites are not Python on purpose.
python=$(basename "$(readlink "$tree/usr/bin/python3")") # python3.11
say "compiling the standard library of $python"
chroot "$tree" "/usr/bin/$python" -I -m compileall -q -j 0 --invalidation-mode unchecked-hash \
  -x '/bad|lib2to3/tests/data' "/usr/lib/$python"

# The modern layout, in which /lib and /lib64 are names for /usr/lib.
mkdir -p "$root"/{usr/bin,usr/lib,usr/share,etc,dev,proc,sys,run,tmp,var/tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"
for directory in bin lib lib64; do ln -s "usr/${directory/lib64/lib}" "$root/$directory"; done

cp -a "$tree/usr/bin/$python" "$root/usr/bin/"
ln -s "$python" "$root/usr/bin/python3"
cp -a "$tree/usr/lib/$python" "$root/usr/lib/"
rm -f "$root/usr/lib/$python/sitecustomize.py" # a hook for the machine's owner; it points into /etc
find "$root/usr/lib/$python" -type f -perm /111 -exec chmod a-x {} + # modules, not programs
cp -a "$tree/usr/share/zoneinfo" "$root/usr/share/"
cp -a "$tree/etc/mime.types" "$root/etc/"

# The libraries that Python and its compiled modules are linked with, as the loader itself sees them,
# and libgcc, which the C library opens by name to end a thread.
loader=$(cd "$tree" && find lib* -maxdepth 1 -name 'ld-linux-*.so.*' -print -quit) # lib64/ld-linux-x86-64.so.2
libraries=$(
  for program in "/usr/bin/$python" "${tree}/usr/lib/$python"/lib-dynload/*.so; do
    chroot "$tree" "/$loader" --list "${program#"$tree"}"
  done | awk '$2 == "=>" { print $3 }' | sort -u
)
multiarch=$(basename "$(dirname "$(readlink -f "$tree/lib/"*/libc.so.6)")") # x86_64-linux-gnu
mkdir -p "$root/usr/lib/$multiarch"
for library in $libraries "/lib/$multiarch/libgcc_s.so.1"; do
  cp -L "$tree$library" "$root/usr/lib/$multiarch/$(basename "$library")"
done
cp -L "$tree/$loader" "$root/usr/lib/$(basename "$loader")"

cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/:/nonexistent
nobody:x:65534:65534:nobody:/tmp:/nonexistent
EOF
cat >"$root/etc/group" <<'EOF'
root:x:0:
nogroup:x:65534:
EOF
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo '# There is no network here.' >"$root/etc/resolv.conf"
echo 'hosts: files' >"$root/etc/nsswitch.conf"
# With an index of the libraries the loader opens one file for it, instead of trying folder by folder.
ldconfig -r "$root"

# What must never be in it, looked for in the result.
strangers=$(find "$root" ! -type f ! -type d ! -type l -o -perm /7000 ! -path '*/tmp')
programs=$(find "$root" -type f -perm /111 -path '*bin/*' ! -name "$python")
[[ -z $strangers$programs ]] || die "this does not belong in a sandbox: $strangers $programs"

# Python's own tests start a shell: the image for them, and only that one, is asked for with dash.
for package; do
  if [[ $package == dash ]]; then cp -a "$tree/bin/dash" "$root/usr/bin/sh"; fi
done

say "importing $tag"
tar -C "$root" --create --sort=name --owner=0 --group=0 --numeric-owner . |
  dock import --message "$recipe" \
    --change 'USER 65534:65534' --change 'WORKDIR /tmp' --change 'CMD ["/usr/bin/python3"]' - "$tag" >/dev/null
