"""Checks Docker's configuration file for the runtime `runsc`, and registers it there.

    daemon_json.py check FILE [--platform P] [--path R] [--need ARGUMENT]...
                                       exit 0: registered, 1: not, and why, 2: the file cannot be used
    daemon_json.py merge FILE --platform P --path R [--need ARGUMENT]...
                                       register it
    daemon_json.py path FILE           print the path of the registered runsc

Merging leaves everything outside of this entry as it is, stores a copy of the old file beside it, and
replaces the file atomically, so that dockerd never reads half of it.
"""

import argparse
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

PLATFORMS = ("systrap", "ptrace", "kvm")
# Arguments of an administrator that weaken nothing: a pattern for the value of each. Every other one is removed,
# because runsc has flags that switch the isolation off, and a later release may have more of them.
HARMLESS = {
    "alsologtostderr": "true|false",
    "cpu-num-from-quota": "true|false",
    "debug": "true|false",
    "debug-log": ".+",
    "debug-log-format": "text|json|json-k8s",
    "directfs": "false",
    "host-fifo": "none",
    "host-uds": "none",
    "log": ".+",
    "log-format": "text|json|json-k8s",
    "oci-seccomp": "true",
    "overlay": "false",
    "panic-log": ".+",
    "systemd-cgroup": "true|false",
    "watchdog-action": "logWarning|panic|LogWarning|Panic",
}


def refuse(path, why):
    print(f"set-up: error: {path} {why}; nothing was changed. Correct it by hand, then try again.", file=sys.stderr)
    raise SystemExit(2)


def read(path):
    """Reads the file. One that is missing or empty gives an empty dictionary."""

    def members(pairs):
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                # Writing the file again would lose one of them without a message.
                refuse(path, f"has the member {json.dumps(name)} twice in one object")
        return dict(pairs)

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        refuse(path, f"cannot be read ({error})")
    try:
        config = json.loads(text, object_pairs_hook=members) if text.strip() else {}
    except (json.JSONDecodeError, RecursionError) as error:
        refuse(path, f"is not valid JSON ({error})")
    if not isinstance(config, dict) or not isinstance(config.get("runtimes", {}), dict):
        refuse(path, "is not an object with an object of runtimes")
    entry = config.get("runtimes", {}).get("runsc", {})
    if not isinstance(entry, dict):
        refuse(path, "has a runtime runsc that is not an object")
    if not isinstance(entry.get("path", ""), str):
        refuse(path, f"has a runtime runsc whose path is {json.dumps(entry['path'])}, not a string")
    arguments = entry.get("runtimeArgs")
    if not isinstance(arguments, (list, type(None))):
        refuse(path, f"has a runtime runsc whose runtimeArgs are {json.dumps(arguments)}, not a list")
    for argument in arguments or []:
        if not isinstance(argument, str):
            refuse(path, f"has {json.dumps(argument)} in runsc's runtimeArgs, which is not a string")
    return config


def parse(arguments):
    """Pairs of a flag's name and value, as Go's package `flag` reads them. A name of None is no flag."""
    pairs, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        match = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", argument, re.DOTALL)
        if not match:
            pairs.append((None, argument))
            continue
        name, value = match.groups()
        if value is None and name in ("platform", "network") and rest:
            value = rest.pop(0)
        pairs.append((name, "true" if value is None else value))
    return pairs


def spelled(name, value):
    return value if name is None else f"--{name}={value}"


def is_harmless(name, value):
    return name in HARMLESS and re.fullmatch(HARMLESS[name], value) is not None


def release(path):
    """The date in the version of the runsc at `path`, as 20240729; 0 when it cannot be run."""
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    date = re.search(r"20\d{6}", output.partition("\n")[0])
    return int(date.group()) if date else 0


def path_is_right(registered, wanted):
    """Whether the registered runsc is there, and not older than the wanted one."""
    found = shutil.which(str(registered))
    if not found:
        return False
    if not wanted or os.path.realpath(found) == os.path.realpath(wanted):
        return True
    return release(found) >= release(wanted)


def problems(entry, platform, runsc, needed):
    """What is wrong with an entry, as sentences. Without `platform`, any one platform is right: it was
    probed when the entry was written. Of a flag that is given twice the last one counts, so the whole
    list is judged."""
    if not entry:
        return ["it is not there"]
    found = []
    if not path_is_right(entry.get("path"), runsc):
        found.append(f"its program {entry.get('path')} is missing" + (f", or older than {runsc}" if runsc else ""))
    pairs = parse(entry.get("runtimeArgs") or [])
    effective = dict(pairs)
    if effective.get("network") != "none":
        found.append(f"its network is {effective.get('network', 'the default')}, not none")
    wanted = [platform] if platform else PLATFORMS
    if effective.get("platform") not in wanted:
        found.append(f"its platform is {effective.get('platform', 'the default')}, not {' or '.join(wanted)}")
    for name, value in parse(needed):
        if effective.get(name) != value:
            found.append(f"{spelled(name, value)} is missing")
    for name, value in pairs:
        if name not in ("network", "platform") and not is_harmless(name, value):
            found.append(f"{spelled(name, value)} is not an argument that is known to be safe")
    unknown = sorted(set(entry) - {"path", "runtimeArgs"})
    if unknown:
        found.append(f"it has the members {', '.join(unknown)}")
    return found


def merged(entry, platform, runsc, needed):
    """The entry as it should be. Arguments that weaken nothing were set by an administrator and stay."""
    path = entry.get("path")
    if not path_is_right(path, runsc):
        path = runsc
    ours = [("platform", platform), ("network", "none"), *parse(needed)]
    names = [name for name, _ in ours]
    others = [pair for pair in parse(entry.get("runtimeArgs") or []) if pair[0] not in names and is_harmless(*pair)]
    return {"path": path, "runtimeArgs": [spelled(*pair) for pair in [*ours, *others]]}


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
    if os.geteuid() == 0:
        os.chown(fresh, *owner)
    os.replace(fresh, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["check", "merge", "path"])
    parser.add_argument("file")
    parser.add_argument("--platform", default="")
    parser.add_argument("--path", default="")
    parser.add_argument("--need", action="append", default=[])
    arguments = parser.parse_args()

    config = read(arguments.file)
    entry = config.get("runtimes", {}).get("runsc", {})
    if arguments.command == "path":
        print(entry.get("path", ""))
        return 0
    found = problems(entry, arguments.platform, arguments.path, arguments.need)
    if not found:
        return 0
    if arguments.command == "check":
        print("; ".join(found))
        return 1
    config.setdefault("runtimes", {})["runsc"] = merged(entry, arguments.platform, arguments.path, arguments.need)
    write(arguments.file, config)
    print(f"set-up: registered the runtime runsc in {arguments.file}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
