while :; do
  printf .
  sleep 0.2
done
