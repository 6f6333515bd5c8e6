"""Compares the arguments of infrastructure/terraform with those of provider 6.62.0: provider_6.py DIRECTORY NAMES.json"""

import glob
import json
import os
import sys

import hcl2

# Of Terraform itself, in any resource.
META = {"count", "for_each", "depends_on", "provider", "lifecycle", "dynamic"}
# Mappings whose keys are names of the stack.
MAPPINGS = {"tags", "variables", "dimensions", "triggers"}


def walk(block, path, known, report):
    """Visits arguments and nested blocks; what is an expression with braces is text here, or has keys of its own."""
    for name, value in block.items():
        if name.startswith("__") or name in META - {"dynamic"}:
            continue
        if name == "dynamic":
            for dynamic in value:
                for inner, body in dynamic.items():
                    check(inner, path, known, report)
                    for content in body["content"]:
                        walk(content, f"{path}.{inner}", known, report)
            continue
        check(name, path, known, report)
        # A list with a mapping is a nested block; a mapping is a value, such as `tags`.
        if name not in MAPPINGS and isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for one in value:
                walk(one, f"{path}.{name}", known, report)


def check(name, path, known, report):
    if name not in known["names"]:
        report.append(f"{path}: provider 6 has no {name}")


def main(directory, names):
    with open(names) as file:
        known = json.load(file)
    report, count = [], 0
    for path in sorted(glob.glob(os.path.join(directory, "**/*.tf"), recursive=True)):
        with open(path) as file:
            parsed = hcl2.load(file)
        for kind, prefix in (("resource", ""), ("data", "data.")):
            for block in parsed.get(kind, []):
                for kind_of, named in block.items():
                    for name, body in named.items():
                        count += 1
                        address = f"{prefix}{kind_of}.{name}"
                        if prefix + kind_of not in known:
                            report.append(f"{address}: provider 6 does not have it, or {names} is old")
                            continue
                        walk(body, address, known[prefix + kind_of], report)
                        missing = set(known[prefix + kind_of]["required"]) - set(body)
                        report.extend(f"{address}: provider 6 needs {one}" for one in sorted(missing))
    print("\n".join(report) or f"{count} blocks")
    return 1 if report or count < 50 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
