# Functions that the other scripts share. Sourced, never run.
# shellcheck shell=bash

# Reports the command and line of any failure. Status 9 is that of `die`, which has printed its own message.
set -o errtrace
trap '(($? == 9)) || printf "set-up: error: %s, line %s: failed: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR

# Always the local Docker daemon: with a context or DOCKER_HOST that points elsewhere, set-up would
# register a runtime on this machine while programs run on another.
export DOCKER_HOST=unix:///var/run/docker.sock

# The project's own tools, independent of the packages of the system's Python.
TOOLS=/opt/crucible
export PATH="$TOOLS/bin:$PATH:${HOME:-/root}/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin"

# The Debian release the sandbox image is made of, on every host: one Python for all readers.
DEBIAN_SUITE=bookworm

# Messages go to standard error: standard output is for data.
say()  { printf 'set-up: %s\n' "$*" >&2; }
die()  { printf 'set-up: error: %s\n' "$*" >&2; exit 9; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root. The scripts run as the calling user, and use root only where it is needed.
as_root() {
  if ((EUID == 0)); then "$@"
  elif have sudo; then sudo -- "$@"
  else die "this needs root: run it as root, or install sudo"; fi
}

# Runs a command as the calling user, with access to Docker's socket. Members of the group `docker` are
# as powerful as root, so set-up adds no user to it: sudo adds the group to this one command.
with_docker() {
  if ((EUID == 0)) || [[ -w ${DOCKER_HOST#unix://} ]] || ! have sudo; then "$@"
  else sudo --preserve-env --group=docker -- env "PATH=$PATH" "$@"; fi
}

# The docker client, with a time-out for a daemon that hangs.
dock() { with_docker timeout 60 docker "$@"; }

# Installs packages; apt's output is shown only when it fails.
apt_install() {
  local log
  log=$(mktemp)
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@" >"$log" 2>&1 ||
    { cat "$log" >&2; die "apt could not install $*"; }
  rm -f "$log"
}

# Makes the virtual environment $1.new of the packages from PyPI that are pinned in $2: each by its hash, and none
# that would be built. venv_replace puts it in the place of $1.
venv_new() {
  as_root rm -rf "$1.new"
  as_root /usr/bin/python3 -m venv "$1.new"
  as_root "$1.new/bin/pip" install --quiet --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --no-deps --require-hashes --requirement "$2" >&2 ||
    die "pip could not install what $2 lists; its output is above"
}

# Moves $1.new over $1, notes its recipe $2, and links the programs that follow into the tools.
venv_replace() {
  local directory=$1 recipe=$2 program
  as_root tee "$directory.new/recipe" <<<"$recipe" >/dev/null
  as_root rm -rf "$directory"
  as_root mv "$directory.new" "$directory"
  as_root mkdir -p "$TOOLS/bin"
  for program in "${@:3}"; do
    # The scripts of a virtual environment name the interpreter by its absolute path, which has moved.
    if head -c2 "$directory/bin/$program" | grep -q '#!'; then
      as_root sed -i "1s|.*|#!$directory/bin/python3|" "$directory/bin/$program"
    fi
    as_root ln -sfn "$directory/bin/$program" "$TOOLS/bin/$program"
  done
}

# Whether the distribution offers a package (its lists must have been fetched).
apt_offers() { [[ -n $(apt-cache madison "$1" 2>/dev/null) ]]; }

# Prints the sources of Debian's packages: the mirror that a Debian host has configured, else the public
# one, always with security updates. Every line names the only keyring that may sign.
debian_sources() {
  local indexes main security key=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016 # apt's placeholders, not the shell's
  indexes=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null || true)
  main=$(awk '$1 == "Debian" && $2 ~ /^https?:/ { print $2; exit }' <<<"$indexes")
  security=$(awk '$1 == "Debian-Security" && $2 ~ /^https?:/ { print $2; exit }' <<<"$indexes")
  main=${main:-http://deb.debian.org/debian}
  printf 'deb [signed-by=%s] %s %s main\n' "$key" "$main" "$DEBIAN_SUITE"
  printf 'deb [signed-by=%s] %s %s-updates main\n' "$key" "$main" "$DEBIAN_SUITE"
  printf 'deb [signed-by=%s] %s %s-security main\n' "$key" \
    "${security:-http://deb.debian.org/debian-security}" "$DEBIAN_SUITE"
}

# extract_debian DIRECTORY PACKAGE...
# Unpacks packages and what they depend on, without running any of their installation scripts.
extract_debian() {
  local directory=$1 work
  shift
  work=$(mktemp -d)
  debian_sources >"$work/sources.list"
  # Uses the proxy that the host's apt is configured with.
  apt-config dump Acquire::http Acquire::https Acquire::Check-Valid-Until >"$work/apt.conf"
  as_root mmdebstrap --quiet --variant=extract --aptopt="$work/apt.conf" \
    --include="$(IFS=,; echo "$*")" "$DEBIAN_SUITE" "$directory" "$work/sources.list" >&2
  rm -rf "$work"
}
