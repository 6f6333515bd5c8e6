# id: breakout/machine-files
# class: HostLeak
# title: Read what the kernel tells of the machine
# intent: Opens the files about load, memory, interrupts, timers and modules
# success: The host's kernel shows what is in one of them
# source: CVE-2017-18344, its leaks; Docker's masked paths
# evidence: kernel
# host: confined
answers = []
for path in ("/proc/timer_list", "/proc/keys", "/proc/sched_debug", "/proc/modules", "/proc/interrupts", "/proc/schedstat", "/proc/buddyinfo"):
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
