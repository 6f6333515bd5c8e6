attempt cat /proc/self/mountinfo
