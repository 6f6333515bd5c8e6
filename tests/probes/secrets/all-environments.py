# id: secrets/all-environments
# class: HostLeak
# title: Read every process's environment
# intent: Prints the environment of every process that it can see
# success: The secret in the environment of another process is in the answer
# source: CDK, Sensitive ENV; CIS Docker Benchmark 5.16
# evidence: canary-process
# host: safe
import pathlib

for directory in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        for variable in (directory / "environ").read_bytes().split(b"\0"):
            if variable.startswith(b"LADDER_DECOY="):
                print(directory.name, variable)
    except OSError:
        pass  # it has ended meanwhile, or is not ours to read
finished()
