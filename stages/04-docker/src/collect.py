# Sends the files that a program has left to the host, after its end: the last part of an init whose
# engine takes them. `artifact_stream.rs` reads what this sends.
#
# Attack: the program leaves links to other files, pipes that nothing writes to, sparse files, or
# directories without end -> init, which is the program's own user by then, opens each entry below its
# open directory without following a link and without waiting, and sends regular files alone, up to
# the bounds. Nothing of the program runs meanwhile. Test: `what_a_program_leaves_is_taken`.


# ANCHOR: collect
def collect(send, directory, files, size, path_size):
    """Sends at most so many files, bytes in all, and bytes of a path."""
    import posix

    most_entries, most_depth = 10_000, 16
    entries = skipped = 0
    flags = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC

    def frame(kind, payload):
        send(kind + len(payload).to_bytes(8, "big") + payload)

    def names(fd):
        nonlocal entries
        with posix.scandir(fd) as listed:
            for entry in listed:
                entries += 1
                if entries > most_entries:
                    raise OverflowError
                yield entry.name.encode("utf-8", "surrogateescape")

    def walk(fd, path, depth):
        nonlocal files, size, skipped
        found = []
        try:
            for name in names(fd):
                found.append(name)
        except (OSError, OverflowError):
            skipped += 1
        for name in sorted(set(found)):
            below = path + name
            try:
                entry = posix.open(name, flags, dir_fd=fd)
            except OSError:
                skipped += 1
                continue
            seen = posix.fstat(entry)
            kind, length = seen.st_mode & 0o170000, seen.st_size
            if kind == 0o040000 and depth < most_depth:
                walk(entry, below + b"/", depth + 1)
            elif kind == 0o100000 and files and length <= size and len(below) <= path_size:
                files, size = files - 1, size - length
                frame(b"F", below)
                while length:  # no more than its size was
                    part = posix.read(entry, min(length, 1 << 16))
                    if not part:
                        break
                    length -= len(part)
                    frame(b"C", part)
            else:
                skipped += 1
            posix.close(entry)

    try:
        fd = posix.open(directory, flags | posix.O_DIRECTORY)
    except OSError:
        skipped += 1
    else:
        walk(fd, b"", 0)
    send(b"E" + skipped.to_bytes(8, "big") + b"\n")
# ANCHOR_END: collect
