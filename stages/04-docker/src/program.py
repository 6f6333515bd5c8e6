# Becomes the program without another interpreter, in a sandbox whose interpreter has waited for it.


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
