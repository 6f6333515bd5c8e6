replace() { printf '#!/bin/sh\n' >"$HOST_PATH" && chmod 4755 "$HOST_PATH"; }
attempt replace
