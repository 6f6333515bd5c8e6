# Is a filter for system calls in force?
for line in open("/proc/self/status"):
    if line.startswith("Seccomp:"):
        print(line.strip().replace("\t", " "))
