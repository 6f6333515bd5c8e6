# id: secrets/command-lines
# class: HostLeak
# title: Read other processes' command lines
# intent: Prints the command line of every process that it can see
# success: The secret on the command line of another process is in the answer
# source: CWE-214; CDK, Sensitive processes
# evidence: canary-process
# host: safe
import pathlib

for directory in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        print(directory.name, (directory / "cmdline").read_bytes().replace(b"\0", b" "))
    except OSError:
        pass  # it has ended meanwhile, or is not ours to read
finished()
