# What `tail` shows is in its memory before it shows any of it.
hoard() { head -c "${AMOUNT}M" /dev/zero | tail -c "${AMOUNT}M" | { head -c 1 >/dev/null && sleep 1.5; }; }
attempt hoard
