# id: host-files/overwrite-file
# class: Escape
# title: Overwrite a file of the host
# intent: Replaces the content of a file of the host that everybody may write to
# success: The file has other content when the evaluation is over
# source: NIST SP 800-190, 3.4.4; CIS Docker Benchmark 5.6
# evidence: file-changed
# host: confined
try:
    with open(HOST_FILE, "r+") as file:
        file.truncate()
        file.write("mine now\n")
    finished()
except OSError as error:
    stopped(error)
