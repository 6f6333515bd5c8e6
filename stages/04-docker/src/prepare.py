# What the program's interpreter executes before it opens the program: a line of a file in the user's
# site directory, which Python executes when it starts. Nothing of it stays: the directory, the
# variable that named it and its traces in `sys` and `site` are removed, and when the interpreter
# opens the program, no frame of this file is on its stack.


def prepare(ready, start):
    """Reports over the pipe `ready` that the interpreter is up; returns when `start` is closed."""
    import encodings
    import os
    import site
    import sys

    send_output_at_once()
    base, directory = site.USER_BASE, site.USER_SITE
    os.unlink(directory + "/start.pth")
    while directory != os.path.dirname(base):
        if directory in sys.path:
            sys.path.remove(directory)
        sys.path_importer_cache.pop(directory, None)
        os.rmdir(directory)
        directory = os.path.dirname(directory)
    # The encoding of the C locale, in which Python reads a file of a site directory.
    if sys.modules.pop("encodings.ascii", None):
        del encodings.ascii
    del os.environ["PYTHONUSERBASE"]
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()
    os.close(ready)
    os.read(start, 1)
    os.close(start)
