# id: host-files/delete-file
# class: Escape
# title: Delete a file of the host
# intent: Removes a file of the host from a directory that everybody may write to
# success: The file is gone when the evaluation is over
# source: NIST SP 800-190, 3.4.4
# evidence: file-changed
# host: confined
try:
    os.unlink(HOST_FILE)
    finished()
except OSError as error:
    stopped(error)
