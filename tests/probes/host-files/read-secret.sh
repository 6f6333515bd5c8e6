attempt cat "$HOST_FILE"
