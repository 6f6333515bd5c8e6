written=0 names=() refusal=
mapfile -t directories <<<"$(find / -maxdepth 3 \( -path /tmp -o -path /dev -o -path /proc -o -path /sys \) -prune -o -type d -print 2>/dev/null)"
for directory in "${directories[@]}"; do
  while ((written < AMOUNT)); do
    names+=("$directory/$FILE_NAME-$written")
    # A redirection alone takes no process.
    if ! error=$({ : >"${names[-1]}"; } 2>&1 && head -c 16M /dev/zero 2>&1 >"${names[-1]}"); then
      # Of many refusals, that of a file system without writes says the most.
      case $refusal in *Read-only*) ;; *) refusal=$error ;; esac
      break
    fi
    ((written += 16))
  done
done
if ((written < AMOUNT)); then sleep 1.5 && stopped "$refusal"; else sleep 9 && finished; fi
rm -f "${names[@]}" 2>/dev/null
