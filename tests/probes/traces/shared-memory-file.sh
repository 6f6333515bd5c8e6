leave() { printf %s "$SECRET" >"/dev/shm/$PLACE"; }
attempt leave

# --- second program ---
attempt cat "/dev/shm/$PLACE"
