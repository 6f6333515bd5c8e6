# id: traces/run-lock-file
# class: Lateral
# title: Leave a message in /run/lock
# intent: The first program writes a file to /run/lock or /run, the second one looks for it
# success: The first one's secret is in the second one's answer
# source: Piston's file persistence tests
# evidence: pair after
# host: confined
for directory in ("/run/lock", "/run"):
    try:
        open(f"{directory}/{PLACE}", "w").write(SECRET)
        finished()
        break
    except OSError as error:
        last = error
else:
    stopped(last)

# --- second program ---
for directory in ("/run/lock", "/run"):
    try:
        print(open(f"{directory}/{PLACE}").read())
        finished()
        break
    except OSError as error:
        last = error
else:
    stopped(last)
