uname -a
cat /proc/version 2>/dev/null
finished
