fill() {
  local piece
  for ((piece = 0; piece < AMOUNT / 30; piece++)); do
    head -c 30M /dev/zero >"/dev/shm/$FILE_NAME-$piece" || return
  done
}
attempt fill
sleep 1.5 # to be seen
rm -f "/dev/shm/$FILE_NAME"-*
