# id: traces/tmp-file
# class: Lateral
# title: Leave a message in /tmp
# intent: The first program writes a file to /tmp, the second one looks for it
# success: The first one's secret is in the second one's answer
# source: Piston's file persistence tests; NIST SP 800-190, 3.4.4
# evidence: pair after
# host: confined
try:
    open(f"/tmp/{PLACE}", "w").write(SECRET)
    finished()
except OSError as error:
    stopped(error)

# --- second program ---
try:
    print(open(f"/tmp/{PLACE}").read())
    finished()
except OSError as error:
    stopped(error)
