# The first process of every container: `python3 -c <this file>`, with nothing on the command line
# that came from outside.
#
# It reads the program and its files from standard input, leaves the rest of standard input to the
# program, starts it in a child and stays as the container's init: it reaps orphans, and when the
# program has ended it kills every other process, reports how the program ended, and waits until the
# container is removed. Here a program that a signal ended differs from one that exited with 128 and
# the signal's number. A sandbox that dies differs from both, because it reports nothing.
#
# The program can forge the report, or prevent it: both run as one user. It gains nothing: it can
# choose its exit code anyway, and limits are decided by counters outside, never by this report.


def deliver():
    """Writes the program and its files under /tmp; returns the nonce, the lifetime in seconds and
    the path of the first file, which is the program."""
    import posix

    def read(size):
        parts = []
        while size:
            part = posix.read(0, min(size, 1 << 16))
            if not part:
                posix._exit(0)  # the server has closed the connection
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def number():
        return int.from_bytes(read(8), "big")

    nonce, seconds, main = read(32), number(), None
    try:
        for _ in range(number()):
            path = b"/tmp"
            *directories, name = read(number()).split(b"/")
            for directory in directories:
                path += b"/" + directory
                try:
                    posix.mkdir(path)
                except FileExistsError:
                    pass
            path += b"/" + name
            main = main or path.decode()
            fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o644)
            size = number()
            while size:
                part = read(min(size, 1 << 16))
                size -= len(part)
                while part:
                    part = part[posix.write(fd, part) :]
            posix.close(fd)
    except OSError as error:
        posix.write(2, b"%s refused %s\n" % (nonce, str(error).encode()))
        posix._exit(0)
    posix.write(2, nonce + b" begin\n")
    return nonce, seconds, main


# ANCHOR: init
def supervise(child, nonce, seconds):
    """Init, while the program runs and after it."""
    import _signal as signal
    import posix

    # A server that was killed does not end this container: then the alarm does.
    signal.signal(signal.SIGALRM, lambda *_: posix._exit(0))
    signal.alarm(seconds)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ended, status = posix.wait()
        if ended == child:
            break
    while True:  # nothing outlives the program, and nothing writes after it
        try:
            posix.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            posix.wait()
        except ChildProcessError:
            break
    if posix.WIFSIGNALED(status):
        how = b"signal %d" % posix.WTERMSIG(status)
    else:
        how = b"exit %d" % posix.WEXITSTATUS(status)
    for fd, words in (1, b"end"), (2, how):
        posix.set_blocking(fd, True)  # the program shares these, and may have changed them
        posix.write(fd, b"%s %s\n" % (nonce, words))
    while True:  # the counters outside are read before the container is removed
        signal.pause()
# ANCHOR_END: init


# ANCHOR: program
def program(path):
    """Runs the file in this process as `python3 <path>` would."""
    import sys

    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path)
    sys.argv[:], sys.orig_argv[:] = [path], [sys.executable, path]
    sys.path[0] = "/tmp"
    sys.stdout.reconfigure(line_buffering=True)  # each line is sent when it is printed
    builtins = sys.modules["builtins"]
    main = sys.modules["__main__"].__dict__
    main.clear()  # no name of this file is visible to the program
    main.update(
        __name__="__main__", __doc__=None, __package__=None, __loader__=loader, __spec__=None,
        __annotations__={}, __builtins__=builtins, __file__=path, __cached__=None,
    )  # fmt: skip
    try:
        exec(compile(loader.get_data(path), path, "exec", dont_inherit=True), main)
    except SystemExit:
        raise
    except BaseException as error:
        # Shown as Python shows it, without this frame; then raised again, so that Python ends as it
        # ends after an error, or by a signal after a KeyboardInterrupt.
        error.__traceback__ = error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.excepthook = lambda *_: None
        raise
# ANCHOR_END: program


def start():
    """Forks; returns the path of the program, in the child alone."""
    import posix

    nonce, seconds, main = deliver()
    child = posix.fork()
    if child:
        supervise(child, nonce, seconds)
    posix.setsid()  # a program that signals its process group does not reach init
    return main
