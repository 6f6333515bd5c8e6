overwrite() { echo "mine now" >"$HOST_FILE"; }
attempt overwrite
