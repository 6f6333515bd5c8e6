# The first process of every container: `python3 -c <deliver.py and this file>`, with nothing on the
# command line that came from outside.
#
# It reads the program and its files from standard input, leaves the rest of standard input to the
# program, starts `python3 main.py` in a child and stays as the container's init: it reaps orphans,
# and when the program has ended it kills every other process, reports how the program ended, sends
# the files that it has left where an engine takes them, and waits until the container is removed.
# Here a program that a signal ended differs from one that exited with 128 and the signal's number. A
# sandbox that dies differs from both, because it reports nothing.
#
# Attack: read the nonce in init's memory, signal init, change its limits -> on the host's own kernel
# init is not dumpable, so that /proc/1 belongs to root; as the first process of its namespace it has
# no handler that a signal from inside could reach; and the seccomp filter lets `prlimit64` reach the
# caller alone. Under gVisor, which does not protect the first process from signals, init is root
# inside and the program is not. Tests: `init_cannot_be_reached`, `no_program_causes_an_engine_error`.

PROGRAM_USER = 65534  # where init is root
COLLECT_SECONDS = 10  # for the files of a program that has used up its time


def become_the_program():
    """Gives up root for good, where this process is root."""
    import posix

    if posix.getuid() == 0:
        posix.setgroups([])
        posix.setresgid(PROGRAM_USER, PROGRAM_USER, PROGRAM_USER)
        posix.setresuid(PROGRAM_USER, PROGRAM_USER, PROGRAM_USER)


# ANCHOR: protect
def protect():
    """Closes init to the program, before there is one."""
    import _ctypes
    import _signal as signal

    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 2), "prctl")
    if _ctypes.call_function(prctl, (4, 0, 0, 0, 0)):  # PR_SET_DUMPABLE
        raise OSError("prctl")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler; a default one is never called
# ANCHOR_END: protect


# ANCHOR: init
def supervise(child, nonce, seconds, collect):
    """Init, while the program runs and after it. `collect` sends the files that it has left, or is
    None."""
    import _signal as signal
    import posix
    import select
    import time

    # A server that was killed does not end this container: then this deadline does. No handler is
    # used for it, since a signal from inside reaches every handler.
    deadline = time.monotonic() + seconds + (COLLECT_SECONDS if collect else 0)
    signals = [signal.SIGCHLD] + ([signal.SIGRTMIN, signal.SIGUSR1] if collect else [])
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def remaining():
        left = deadline - time.monotonic()
        return left if left > 0 else posix._exit(0)

    def is_ended_by_the_host():
        """Waits for a child, or for the host, which ends a program at a limit. A signal from inside
        has a sender (0: SI_USER), and can at most end the program, which may do that anyway."""
        while True:
            seen = signal.sigtimedwait(signals, remaining())
            if seen and seen.si_signo == signal.SIGCHLD:
                return False
            if seen and (seen.si_code, seen.si_pid) == (0, 0):
                return True

    def send(fd, data):
        posix.set_blocking(fd, False)  # the program shares these, and may have changed them
        while data:
            try:
                data = data[posix.write(fd, data) :]
            except BlockingIOError:
                select.select([], [fd], [], remaining())

    status = None
    while status is None:
        ended, how = posix.waitpid(-1, posix.WNOHANG)
        if ended == child:
            status = how
        elif not ended and is_ended_by_the_host():
            break
    while True:  # nothing outlives the program, and nothing writes after it
        try:
            posix.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            ended, how = posix.wait()
        except ChildProcessError:
            break
        if ended == child:
            status = how
    if posix.WIFSIGNALED(status):
        how = b"signal %d" % posix.WTERMSIG(status)
    else:
        how = b"exit %d" % posix.WEXITSTATUS(status)
    for fd, words in (1, b"end"), (2, how):
        send(fd, b"%s %s\n" % (nonce, words))
    if collect:
        become_the_program()
        collect(lambda data: send(2, data))
    while True:  # the counters outside are read before the container is removed
        is_ended_by_the_host()
# ANCHOR_END: init


# ANCHOR: start
def start(preparation, collect, variables):
    """Runs the program in a child of this process, as `python3 main.py` and nothing else. It finds
    `variables` beside the home directory."""
    import _signal as signal
    import posix

    protect()
    is_root = posix.getuid() == 0
    if is_root:  # files and streams belong to the program's user
        for fd in 0, 1, 2:
            posix.fchown(fd, PROGRAM_USER, PROGRAM_USER)
        posix.setegid(PROGRAM_USER)
        posix.seteuid(PROGRAM_USER)
    nonce, seconds, main = deliver(begin=False)
    (ready, child_ready), (child_start, begin) = posix.pipe(), posix.pipe()
    base = "/dev/shm/.python"
    directory = base + "/lib/python%d.%d/site-packages" % __import__("sys").version_info[:2]
    for end, letter in enumerate(directory):
        if letter == "/" and len(base) <= end:
            posix.mkdir(directory[:end])
    posix.mkdir(directory)
    line = "import site; exec(%a, {})\n" % f"{preparation}\nprepare({child_ready}, {child_start})\n"
    fd = posix.open(directory + "/start.pth", posix.O_WRONLY | posix.O_CREAT, 0o644)
    posix.write(fd, line.encode())
    posix.close(fd)
    if is_root:
        posix.seteuid(0)
        posix.setegid(0)
    child = posix.fork()
    if not child:
        posix.setsid()  # a program that signals its process group does not reach init
        become_the_program()
        for number in signal.SIGPIPE, signal.SIGXFSZ:  # Python ignores these
            signal.signal(number, signal.SIG_DFL)
        for fd in child_ready, child_start:
            posix.set_inheritable(fd, True)
        python = "/usr/bin/python3"
        environment = {**variables, "HOME": "/tmp", "PYTHONUSERBASE": base}
        posix.execve(python, [python, main], environment)
    for fd in child_ready, child_start:
        posix.close(fd)
    posix.read(ready, 1)  # the interpreter is up, or has ended
    posix.close(ready)
    posix.write(2, nonce + b" begin\n")
    posix.close(begin)
    supervise(child, nonce, seconds, collect)
# ANCHOR_END: start
