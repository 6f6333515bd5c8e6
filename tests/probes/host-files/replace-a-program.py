# id: host-files/replace-a-program
# class: Escape
# title: Put a program where others look for theirs
# intent: Writes an executable file into /usr/local/bin
# success: The file is on the host when the evaluation is over
# source: CIS Docker Benchmark 5.13; MITRE ATT&CK T1574.007
# evidence: file-appears /usr/local/bin
# host: confined
try:
    with open(HOST_PATH, "w") as file:
        os.fchmod(file.fileno(), 0o4755)
        file.write("#!/bin/sh\n")
    finished()
except OSError as error:
    stopped(error)
