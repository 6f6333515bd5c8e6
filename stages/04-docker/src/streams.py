# Standard output and standard error as a program finds them: what it writes is sent at once.
#
# Attack: an unfinished line, then an endless loop -> the line would wait in a buffer of Python's, and
# be lost with the process. Python's own option for this, `-u`, loses the rest of a write that the
# kernel has cut short, which gVisor does. Test: `an_unfinished_line_is_output`.


# ANCHOR: streams
def send_output_at_once():
    """Replaces both streams by streams of the same types that keep nothing."""
    import sys
    from _io import BufferedWriter, TextIOWrapper

    class Unbuffered(BufferedWriter):
        __slots__ = ()

        def write(self, data):
            written = BufferedWriter.write(self, data)
            BufferedWriter.flush(self)  # goes on until the kernel has taken all of it
            return written

    Unbuffered.__name__ = Unbuffered.__qualname__ = "BufferedWriter"
    Unbuffered.__module__ = "_io"
    for name in "stdout", "stderr":
        text = getattr(sys, name)
        encoding, errors, lines = text.encoding, text.errors, text.line_buffering
        writer = Unbuffered(text.detach().detach())
        text = TextIOWrapper(writer, encoding, errors, "\n", lines, write_through=True)
        text.mode = "w"
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
# ANCHOR_END: streams
