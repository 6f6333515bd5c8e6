env
finished
