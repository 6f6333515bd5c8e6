"""Directories as tar, in memory: what `write_tar` takes, and what `read_tar` and `diff` return."""

from __future__ import annotations

import io
import shutil
import tarfile
from os import PathLike
from pathlib import Path, PurePosixPath


def pack(directory: str | PathLike[str]) -> bytes:
    """What is in a directory of this machine, as tar. Links stay links."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path in sorted(Path(directory).iterdir()):
            archive.add(path, arcname=path.name)
    return made.getvalue()


def names(archive: bytes) -> list[str]:
    """The paths in a tar."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


def unpack(archive: bytes, directory: str | PathLike[str]) -> None:
    """Writes the files and directories of a tar into a directory of this machine, which is created.

    A program in the sandbox has made the archive. Links and whatever else is no file are left out, modes and owners
    too, so that nothing is written elsewhere.

    Raises:
        FileExistsError: when there is something in the directory.
        ValueError: when a path in the archive leads out of it.
    """
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"a path in the archive leads out of it: {member.name!r}")
            place = target / path
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.isreg() and (content := opened.extractfile(member)) is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, place.open("wb") as file:
                    shutil.copyfileobj(content, file)
