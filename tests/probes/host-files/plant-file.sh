plant() { echo "I was here" >"$HOST_PATH"; }
attempt plant
