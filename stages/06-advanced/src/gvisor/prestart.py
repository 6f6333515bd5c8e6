# What the waiting interpreter does, behind the functions of stage 4's init, before it becomes
# `python3 /tmp/main.py` of a program: executed by usercustomize.py, in the last step of Python's own
# start. When it returns, Python opens the file and runs it, so that nothing of this is on the
# program's stack, and the program finds what every program finds.


def unbuffer(stream, most=1000):
    """The same stream, whose unfinished lines are sent at once: a program that is killed loses none
    of them. In one second that is done `most` times, because a write costs much more here than it
    does on Linux; beyond that only whole lines are sent. Python's own option, -u, writes each part
    of a line by itself, and ignores how much of a long text a pipe has taken."""
    import _io
    from time import monotonic

    base = _io.BufferedWriter
    write, flush = base.write, base.flush
    left, renewed = most, 0

    class BufferedWriter(base):
        def write(self, data, /):
            nonlocal left, renewed
            length = write(self, data)
            if b"\n" in data:
                flush(self)
            elif left:
                left -= 1
                flush(self)
            elif monotonic() >= renewed + 1:
                left, renewed = most, monotonic()
                flush(self)
            return length

        def __repr__(self):
            return "<_io.BufferedWriter name=%r>" % self.name

    BufferedWriter.__module__, BufferedWriter.__qualname__ = "_io", "BufferedWriter"
    encoding, errors = stream.encoding, stream.errors
    buffer = BufferedWriter(stream.detach().detach())
    text = _io.TextIOWrapper(buffer, encoding, errors, "\n", write_through=True)
    text.mode = "w"
    return text


def wait_for_program():
    """Leaves the supervisor's session and directory, reports that it is ready, and waits for a
    program, which it writes to its file."""
    import posix
    import sys

    sys.stdout = sys.__stdout__ = unbuffer(sys.stdout)
    sys.stderr = sys.__stderr__ = unbuffer(sys.stderr)
    posix.chdir("/tmp")
    posix.setsid()
    posix.write(2, b"ready\n")
    deliver()
    # The supervisor sends the line that reports the start, which begins the program's wall-clock
    # time.
    posix.sched_yield()


wait_for_program()
