# The parent of its parent is gone before it has its name.
(bash -c 'printf %s "$1" >/proc/$$/comm; sleep 60; :' - "$NAME" </dev/null >/dev/null 2>&1 &)
sleep 1
finished
