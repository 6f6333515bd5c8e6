# The container engine: installed if there is none, and started if it does not run. Sourced.
# shellcheck shell=bash

DOCKERD_LOG=/var/log/dockerd.log

docker_answers() { dock version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Prints the process id of a running dockerd, or nothing. A pid file may be stale and name another
# process, so the process must be called dockerd, and must not be a zombie.
dockerd_pid() {
  local pid
  pid=$(cat /var/run/docker.pid 2>/dev/null) || return 0
  if [[ $(sed 's/ [0-9].*//' "/proc/$pid/stat" 2>/dev/null) == "$pid (dockerd) "[!ZX] ]]; then echo "$pid"; fi
}

docker_plan() {
  local socket=${DOCKER_HOST#unix://}
  if [[ -S $socket && ! -w $socket ]] && ! have sudo; then
    die "you may not use Docker ($socket): run this as root, or install sudo"
  fi
  if docker_answers; then return; fi
  # A dockerd that was just installed is started the same way, with or without systemd.
  if [[ -n $(dockerd_pid) ]]; then
    die "dockerd (pid $(dockerd_pid)) runs but does not answer; see ${DOCKERD_LOG} or 'journalctl -u docker', then stop it and try again"
  fi
  echo "start dockerd"
}

docker_do() {
  docker_answers || start_dockerd
}

start_dockerd() {
  say "starting dockerd"
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl start docker || true # wait_for_docker reports a failure
  else
    if [[ -z $(dockerd_pid) ]]; then as_root rm -f /var/run/docker.pid; fi
    # In a session of its own and without this script's streams: a caller that reads them through a
    # pipe (CI) waits until every process has closed them. Without this script's environment: it may
    # contain secrets, and a root daemon must find its helpers in the system's directories.
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root HTTP_PROXY="${HTTP_PROXY-}" HTTPS_PROXY="${HTTPS_PROXY-}" NO_PROXY="${NO_PROXY-}" \
      bash -c 'cd /
        for fd in /proc/self/fd/*; do fd=${fd##*/}; if ((fd > 2)); then eval "exec $fd>&-"; fi; done
        exec setsid --fork dockerd </dev/null >>"$0" 2>&1' "$DOCKERD_LOG"
  fi
  wait_for_docker
}

wait_for_docker() {
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    if docker_answers; then return; fi
    sleep 0.2
  done
  if [[ -d /run/systemd/system ]]; then as_root journalctl --unit docker --lines 10 --no-pager >&2
  else as_root tail -n 10 "$DOCKERD_LOG" >&2; fi
  die "dockerd did not come up within 30 seconds; the end of its log is above"
}

# Makes dockerd reload its configuration, without affecting running containers.
reload_dockerd() {
  local pid
  pid=$(dockerd_pid)
  if [[ -n $pid ]]; then as_root kill -HUP "$pid"
  elif [[ -d /run/systemd/system ]]; then as_root systemctl reload docker
  else die "cannot find the running dockerd's process to reload it: restart Docker, then run this again"; fi
}
