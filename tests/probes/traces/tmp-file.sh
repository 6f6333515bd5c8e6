leave() { printf %s "$SECRET" >"/tmp/$PLACE"; }
attempt leave

# --- second program ---
attempt cat "/tmp/$PLACE"
