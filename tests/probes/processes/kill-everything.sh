# By this shell itself: what sends the signal does not receive it.
if kill -9 -- -1 2>"/tmp/error-${MARK:1:8}"; then
  sleep 1
  finished
else
  stopped "$(<"/tmp/error-${MARK:1:8}")"
fi
