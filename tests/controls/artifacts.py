"""The files that a program of the vulnerable server leaves.

See vulnerable_server.py for its purpose, and why it must never be used for anything else.
"""

import base64
import os

from evaluation import Refused, vulnerabilities


def paths(directory):
    """The files below a directory, as bytes, in their order."""
    found = []
    for parent, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            path = os.path.join(parent, name)
            is_link = os.path.islink(path) or os.stat(path).st_nlink > 1
            if os.path.isfile(path) and ("follows-links" in vulnerabilities or not is_link):
                found.append(os.path.relpath(path, os.fsencode(directory)))
    return sorted(found)


def item(number, path):
    try:
        return {"number": number, "path": path.decode(), "encoding": "utf8"}
    except UnicodeDecodeError:
        return {"number": number, "path": base64.b64encode(path).decode(), "encoding": "base64"}


def answer(evaluation, path):
    """The list of the files, or one of them."""
    found, number = paths(evaluation.directory), path.rsplit("/", 1)[1]
    if number == "artifacts":
        return 200, {"items": [item(number, path) for number, path in enumerate(found)]}
    if not number.isdecimal() or int(number) >= len(found):
        raise Refused(404, "not found")
    name = found[int(number)]
    shown = name.decode("latin-1") if "names-in-headers" in vulnerabilities else "file"
    if "one-file-for-all" in vulnerabilities:
        name = found[0]
    with open(os.path.join(os.fsencode(evaluation.directory), name), "rb") as file:
        return (200, file.read(), "Content-Type: application/octet-stream\r\n", "X-Content-Type-Options: nosniff\r\n",
                f'Content-Disposition: attachment; filename="{shown}"\r\n')
