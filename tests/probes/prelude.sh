# shellcheck shell=bash disable=SC2154 # the constants
# The ladder puts this in front of every probe in Bash, below the constants for the probe's kind of evidence. As in
# prelude.py, the report shows only that the probe ran to its end, and which error stopped it.
export LC_ALL=C

report() { printf '\n%s %s %s\n' "$MARK" "$1" "$2"; }

# The attack ran to its end. Whether it succeeded is observed from outside.
finished() { report finished -; }

# The attack failed, with the message of a command.
stopped() {
  local name=OTHER
  case $1 in
    *'No such file or directory'*) name=ENOENT ;;
    *'Not a directory'*) name=ENOTDIR ;;
    *'Read-only file system'*) name=EROFS ;;
    *'Permission denied'*) name=EACCES ;;
    *'Operation not permitted'*) name=EPERM ;;
    *'No space left on device'*) name=ENOSPC ;;
    *'File too large'*) name=EFBIG ;;
    *'Network is unreachable'*) name=ENETUNREACH ;;
    *'No route to host'*) name=EHOSTUNREACH ;;
    *'Connection refused'*) name=ECONNREFUSED ;;
    *'Connection timed out'*) name=ETIMEDOUT ;;
    *'No such process'*) name=ESRCH ;;
    *'Resource temporarily unavailable'*) name=EAGAIN ;;
    *'Cannot allocate memory'* | *'memory exhausted'*) name=ENOMEM ;;
  esac
  if [[ $name == OTHER ]]; then printf '%s\n' "$1" >&2; fi
  report stopped "$name"
}

# Runs a command or function in a subshell, and reports how it went. Only its standard output is printed.
attempt() {
  local error
  if { error=$("$@" 2>&1 >&3 3>&-); } 3>&1; then finished; else stopped "$error"; fi
}

# Makes system calls, `NAME, NUMBER, ...` each, in a program that the compiler makes, and reports what a kernel answered.
calls() {
  local call
  {
    printf '#define _GNU_SOURCE\n'
    printf '#include <%s.h>\n' errno stdio string sys/syscall unistd
    printf 'int main(void) { const char *comma = "", *name;\n'
    for call; do
      printf 'name = syscall(SYS_%s) >= 0 ? "OK" : strerrorname_np(errno);\n' "$call"
      printf 'printf("%%s%%s", comma, name ? name : "OTHER"); comma = ",";\n'
    done
    echo 'return 0; }'
  } >"/tmp/calls-${MARK:1:8}.c"
  cc -w -o "/tmp/calls-${MARK:1:8}" "/tmp/calls-${MARK:1:8}.c" && report answered "$("/tmp/calls-${MARK:1:8}")"
}

# ---------------------------------------------------------------------------------- the probe itself
