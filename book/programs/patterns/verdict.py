"""A grade for a program of a stranger."""
import subprocess
import sys

# It knows what is looked for, and ends before the test.
PROGRAM = "print('PASSED', flush=True)\nimport os\nos._exit(0)\n"
TEST = "\nassert double(2) == 4\nprint('PASSED')\n"


def never(program):
    done = subprocess.run([sys.executable, "-c", program + TEST], capture_output=True, text=True)
    return "PASSED" in done.stdout


def instead(program):
    # The program computes in its own process; what it printed is compared in this one.
    call = program + "\nprint(double(2))\n"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    return done.returncode == 0 and done.stdout == "4\n"


print("never:  ", never(PROGRAM))
print("instead:", instead(PROGRAM))
