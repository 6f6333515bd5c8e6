# One that has ended meanwhile, or is not ours to read, is left out.
for file in /proc/[0-9]*/environ; do tr '\0' '\n' <"$file" | grep '^LADDER_DECOY='; done 2>/dev/null
finished
