# Where on the host does my root directory lie?
import re

mounts = open("/proc/self/mountinfo").read()
print(re.findall("upperdir=(/[a-z]+/[a-z]+/[a-z]+)/", mounts) or "not told")
