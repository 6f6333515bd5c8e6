# id: traces/var-tmp-file
# class: Lateral
# title: Leave a message in /var/tmp
# intent: The first program writes a file to /var/tmp, the second one looks for it
# success: The first one's secret is in the second one's answer
# source: Piston's file persistence tests; hier(7)
# evidence: pair after
# host: confined
try:
    open(f"/var/tmp/{PLACE}", "w").write(SECRET)
    finished()
except OSError as error:
    stopped(error)

# --- second program ---
try:
    print(open(f"/var/tmp/{PLACE}").read())
    finished()
except OSError as error:
    stopped(error)
