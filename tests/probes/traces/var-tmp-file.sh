leave() { printf %s "$SECRET" >"/var/tmp/$PLACE"; }
attempt leave

# --- second program ---
attempt cat "/var/tmp/$PLACE"
