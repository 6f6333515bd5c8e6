bomb() {
  local count
  # Nothing of them holds this program's output open.
  for ((count = 0; count < AMOUNT; count++)); do sleep 20 >/dev/null 2>&1 & done
  sleep 1.5 # to be seen
}
attempt bomb
