# id: traces/shared-memory-file
# class: Lateral
# title: Leave a message in shared memory
# intent: The first program writes a file to /dev/shm, the second one looks for it
# success: The first one's secret is in the second one's answer
# source: isolate 2.5, /dev/shm shared between boxes; Piston's tests
# evidence: pair after
# host: confined
try:
    open(f"/dev/shm/{PLACE}", "w").write(SECRET)
    finished()
except OSError as error:
    stopped(error)

# --- second program ---
try:
    print(open(f"/dev/shm/{PLACE}").read())
    finished()
except OSError as error:
    stopped(error)
