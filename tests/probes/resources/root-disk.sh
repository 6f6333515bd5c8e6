written=0 names=() refusal='No such file or directory'
mapfile -t directories <<<"$(find / \( -path /tmp -o -path /dev -o -path /proc -o -path /sys \) -prune -o -type d -print 2>/dev/null | head -n 300)"
for directory in "${directories[@]}"; do
  while ((written < AMOUNT)); do
    names+=("$directory/$FILE_NAME-$written")
    # A redirection alone takes no process.
    if ! error=$({ : >"${names[-1]}"; } 2>&1 && head -c 16M /dev/zero 2>&1 >"${names[-1]}"); then
      # Of many refusals, that of a file system without writes says the most.
      case $error in *Read-only*) refusal=$error ;; esac
      break
    fi
    ((written += 16))
  done
done
if ((written < AMOUNT)); then sleep 1.5 && stopped "$refusal"; else sleep 9 && finished; fi
rm -f "${names[@]}" 2>/dev/null
