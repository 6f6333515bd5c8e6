fill() {
  local written
  for ((written = 0; written < AMOUNT; written += 32)); do
    head -c 32M /dev/zero >"/tmp/$FILE_NAME-$written" || return
  done
}
attempt fill
sleep 1.5 # to be seen
rm -f "/tmp/$FILE_NAME"-*
