"""A name of a stranger on a command line."""
import subprocess

NAME = "/in/report.txt; echo a command of the stranger"


def never(name):
    return subprocess.run(f"basename {name}", shell=True, capture_output=True, text=True)


def instead(name):
    # A list is no text to be parsed. `--` ends the options, so that a name cannot be one.
    return subprocess.run(["basename", "--", name], capture_output=True, text=True)


print("never:  ", never(NAME).stdout.splitlines())
print("instead:", instead(NAME).stdout.splitlines())
