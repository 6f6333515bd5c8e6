# Python imports this in the last step of its start. In every process but one it does what a missing
# file does, and leaves no trace. The one is the interpreter that waits for a program: the
# supervisor's directory is its own, and no other user can enter it.
import posix

if posix.getcwd() == "/usr/lib/crucible":
    with open("/usr/lib/crucible-prestart.py", "rb") as file:
        exec(compile(file.read(), "<prestart>", "exec"), {})
raise ImportError(name="usercustomize")
