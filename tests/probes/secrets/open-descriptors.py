# id: secrets/open-descriptors
# class: HostLeak
# title: Read files that somebody left open
# intent: Reads every descriptor above standard error that it has inherited
# success: The secret in a file that was open in the server is in the answer
# source: CVE-2024-21626; CWE-403
# evidence: canary-descriptor
# host: safe
for number in range(3, 256):
    try:
        print(number, os.pread(number, 200, 0))
    except OSError:
        pass  # closed, or not a file
finished()
