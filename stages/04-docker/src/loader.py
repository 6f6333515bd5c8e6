# The first process of every container: `python3 -c <this file>`, with nothing on the command line
# that came from outside.
#
# It takes the program and its files from standard input, leaves the rest of standard input to the
# program, starts it in a child and stays behind as the container's init: it collects the orphans,
# and when the program has ended it ends everything else, says how the program ended, and waits to be
# taken away. A program that dies of a signal and one that exits with 128 and its number are told
# apart here, and a sandbox that dies is told from both, because it says nothing at all.
#
# The program can forge the report, or have none: both run as one user. It gains nothing: its exit
# code is its own to choose, and limits are judged by counters outside, never by this report.


def deliver():
    """Puts the program and its files under /tmp; returns the secret and the time to live."""
    import posix

    def read(size):
        parts = []
        while size:
            part = posix.read(0, min(size, 1 << 16))
            if not part:
                posix._exit(0)  # whoever wanted this evaluation is gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def number():
        return int.from_bytes(read(8), "big")

    secret, seconds = read(32), number()
    try:
        for _ in range(number()):
            path = b"/tmp"
            *folders, name = read(number()).split(b"/")
            for folder in folders:
                path += b"/" + folder
                try:
                    posix.mkdir(path)
                except FileExistsError:
                    pass
            fd = posix.open(path + b"/" + name, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o644)
            size = number()
            while size:
                part = read(min(size, 1 << 16))
                size -= len(part)
                while part:
                    part = part[posix.write(fd, part) :]
            posix.close(fd)
    except OSError as error:
        posix.write(2, b"%s refused %s\n" % (secret, str(error).encode()))
        posix._exit(0)
    posix.write(2, secret + b" begin\n")
    return secret, seconds


# ANCHOR: init
def stay(child, secret, seconds):
    """What init does while the program runs, and after it."""
    import _signal as signal
    import posix

    # Nobody may be there any more to end us; then time does.
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
        posix.write(fd, b"%s %s\n" % (secret, words))
    while True:  # the counters outside are read before we are taken away
        signal.pause()
# ANCHOR_END: init


# ANCHOR: program
def program():
    """Runs /tmp/main.py in this process as `python3 /tmp/main.py` would."""
    import sys

    path = "/tmp/main.py"
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path)
    sys.argv[:], sys.orig_argv[:] = [path], [sys.executable, path]
    sys.path[0] = "/tmp"
    sys.stdout.reconfigure(line_buffering=True)  # each line is seen when it is printed
    builtins = sys.modules["builtins"]
    main = sys.modules["__main__"].__dict__
    main.clear()  # this file leaves no name behind
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
    import posix

    secret, seconds = deliver()
    child = posix.fork()
    if child:
        stay(child, secret, seconds)
    posix.setsid()  # a program that signals its process group does not mean us
