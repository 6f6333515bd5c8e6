# id: host-files/symbolic-link
# class: HostLeak
# title: Follow a link out of the working directory
# intent: Makes a symbolic link to a file of the host beside its own code, and reads through it
# success: The random text in that file is in the answer
# source: CWE-61; Judge0 CVE-2024-28185
# evidence: canary-file
# host: confined
name = f"link-{MARK[1:9]}"
try:
    os.symlink(HOST_FILE, name)
    print(open(name).read())
    finished()
except OSError as error:
    stopped(error)
