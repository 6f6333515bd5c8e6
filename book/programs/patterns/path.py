"""A path of a stranger below a directory."""
import pathlib
import tempfile

work = pathlib.Path(tempfile.mkdtemp())
(work / "public").mkdir()
(work / "secret").write_text("hunter2")
(work / "public" / "link").symlink_to(work / "secret")


def never(name):
    return (work / "public" / name).read_text()


def instead(name):
    base = (work / "public").resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise PermissionError(f"{name} leaves the directory")
    return path.read_text()


for name in ("../secret", "link"):
    print("never:  ", name, "->", never(name))
    try:
        instead(name)
    except PermissionError as refused:
        print("instead:", refused)
