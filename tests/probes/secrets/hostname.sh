uname -n
finished
