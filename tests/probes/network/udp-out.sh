send() {
  local address failed=0
  for address in "${ADDRESSES[@]}"; do
    (exec 4<>"/dev/udp/$address/$PORT" && printf %s "$TOKEN" >&4) || failed=1
  done
  return "$failed"
}
attempt send
