# id: traces/file-times
# class: Lateral
# title: Leave a message in the times of files
# intent: The first program sets when files were changed, the second one reads it
# success: The first one's secret is in the second one's answer
# source: utimensat(2); MITRE ATT&CK T1070.006
# evidence: pair after
# host: confined
import os.path

directory = os.path.dirname(os.__file__)
names = ["antigravity.py", "nturl2path.py", "tabnanny.py", "this.py"]
try:
    for at, name in enumerate(names):
        seconds = int(SECRET[at * 8 : at * 8 + 8], 16)
        os.utime(os.path.join(directory, name), (seconds, seconds))
    finished()
except OSError as error:
    stopped(error)

# --- second program ---
import os.path

directory = os.path.dirname(os.__file__)
names = ["antigravity.py", "nturl2path.py", "tabnanny.py", "this.py"]
try:
    print("".join(f"{int(os.stat(os.path.join(directory, name)).st_mtime):08x}" for name in names))
    finished()
except OSError as error:
    stopped(error)
