# id: host-files/hard-link
# class: HostLeak
# title: Give a file of the host a second name
# intent: Makes a hard link to a file of the host, and reads it by the new name
# success: The random text in that file is in the answer
# source: CWE-62; CVE-2024-28189
# evidence: canary-file
# host: confined
name = f"/tmp/link-{MARK[1:9]}"
try:
    os.link(HOST_FILE, name)
    print(open(name).read())
    os.unlink(name)
    finished()
except OSError as error:
    stopped(error)
