# id: breakout/kernel-memory
# class: HostLeak
# title: Read the kernel's memory
# intent: Reads /proc/kcore, /dev/mem, /dev/kmem and /proc/kallsyms
# success: The host's kernel shows what is in one of them
# source: Docker's masked paths; CIS Docker Benchmark 5.6
# evidence: kernel
# host: confined
answers = []
for path in ("/proc/kcore", "/dev/mem", "/dev/kmem", "/proc/kallsyms"):
    try:
        with open(path, "rb") as file:
            # A file that is masked is empty, and addresses that are hidden are all zero.
            told = file.read(200).strip(b"0 aAbBdDrRtTwW\n")
        answers.append("OK" if told else "EACCES")
    except FileNotFoundError:
        answers.append("EACCES")  # this machine has no such thing
    except OSError as error:
        answers.append(errno.errorcode[error.errno])
answered(*answers)
