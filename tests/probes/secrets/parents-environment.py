# id: secrets/parents-environment
# class: HostLeak
# title: Read the environment of the parent
# intent: Reads what the server was started with out of /proc, though its own environment may be clean
# success: The secret that the server was started with is in the answer
# source: CWE-526; Break out the Box (BOtB)
# evidence: canary-env
# host: safe
os.environ.pop(SECRET_NAME, None)
try:
    print(open(f"/proc/{os.getppid()}/environ", "rb").read())
    finished()
except OSError as error:
    stopped(error)
