# id: breakout/tunables
# class: HostDoS
# title: Turn the kernel's knobs
# intent: Opens settings of the kernel, of memory and of the network to write; writes nothing
# success: The host's kernel opens one of them
# source: CIS Docker Benchmark 5.5; proc(5)
# evidence: kernel
# host: confined
answers = []
for path in ("/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/randomize_va_space"):
    try:
        os.close(os.open(path, os.O_WRONLY))
        answers.append("OK")
    except FileNotFoundError:
        answers.append("EACCES")  # this machine has no such thing
    except OSError as error:
        # A mount that is read-only is a refusal as well.
        answers.append("EPERM" if error.errno == errno.EROFS else errno.errorcode[error.errno])
answered(*answers)
