# Receives a program. The first part of every init: `payload.rs` writes what this reads.


def deliver(begin=True):
    """Writes the program and its files under /tmp, and reports that it begins, unless the caller
    does. Returns the nonce, the lifetime in seconds and the path of the first file, which is the
    program."""
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
    if begin:
        posix.write(2, nonce + b" begin\n")
    return nonce, seconds, main
