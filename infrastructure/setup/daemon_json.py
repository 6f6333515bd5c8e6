"""Checks Docker's configuration file for the runtime `runsc`, and registers it there.

    daemon_json.py check FILE [--platform P]          exit 0: registered, 1: not, 2: the file cannot be used
    daemon_json.py merge FILE --platform P --path R   register it

Merging leaves everything else in the file as it is, stores a copy of the old file beside it, and
replaces the file atomically, so that dockerd never reads half of it.
"""

import argparse
import json
import os
import shutil
import stat
import sys
import tempfile
import time


def refuse(path, why):
    print(f"set-up: error: {path} {why}; nothing was changed. Correct it by hand, then try again.", file=sys.stderr)
    raise SystemExit(2)


def read(path):
    """Reads the file. One that is missing or empty gives an empty dictionary."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        refuse(path, f"cannot be read ({error})")
    try:
        config = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        refuse(path, f"is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg})")
    if not isinstance(config, dict) or not isinstance(config.get("runtimes", {}), dict):
        refuse(path, "is not an object with an object of runtimes")
    return config


def is_right(entry, platform):
    """Whether an entry starts gVisor without a network, on `platform`, or, without one, on exactly one
    platform (which was probed when the entry was written)."""
    if not isinstance(entry, dict) or not shutil.which(str(entry.get("path"))):
        return False
    arguments = entry.get("runtimeArgs") or []
    platforms = [a.partition("=")[2] for a in arguments if a.startswith("--platform=")]
    return "--network=none" in arguments and (platforms == [platform] if platform else len(platforms) == 1)


def merged(entry, platform, runsc):
    """The entry with these two arguments set. Its other arguments were set by an administrator and stay."""
    entry = dict(entry) if isinstance(entry, dict) else {}
    if not shutil.which(str(entry.get("path"))):
        entry["path"] = runsc
    others = [a for a in entry.get("runtimeArgs") or [] if not a.startswith(("--platform=", "--network="))]
    entry["runtimeArgs"] = [f"--platform={platform}", "--network=none", *others]
    return entry


def write(path, config):
    """Replaces the file atomically, and preserves its owner and mode."""
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode, owner = 0o644, (0, 0)
    if os.path.exists(path):
        old = os.stat(path)
        mode, owner = stat.S_IMODE(old.st_mode), (old.st_uid, old.st_gid)
        copy = f"{path}.{time.strftime('%Y%m%dT%H%M%S')}"
        shutil.copy2(path, copy)
        print(f"set-up: stored a copy of {path} as {copy}", file=sys.stderr)
    descriptor, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".daemon.json.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(fresh, mode)
    os.chown(fresh, *owner)
    os.replace(fresh, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["check", "merge"])
    parser.add_argument("file")
    parser.add_argument("--platform", default="")
    parser.add_argument("--path", default="")
    arguments = parser.parse_args()

    config = read(arguments.file)
    entry = config.get("runtimes", {}).get("runsc")
    if arguments.command == "check":
        return 0 if is_right(entry, arguments.platform) else 1
    if not is_right(entry, arguments.platform):
        config.setdefault("runtimes", {})["runsc"] = merged(entry, arguments.platform, arguments.path)
        write(arguments.file, config)
        print(f"set-up: registered the runtime runsc in {arguments.file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
