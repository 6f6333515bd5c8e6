kill_server() {
  local number failed=0
  for number in "$PPID" "$SERVER_PID"; do
    # In a container the parent of the first process is 0, which would be our own group.
    if ((number > 1)); then kill -9 "$number" || failed=1; fi
  done
  sleep 1
  return "$failed"
}
attempt kill_server
