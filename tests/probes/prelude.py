# The ladder puts this in front of every probe, below the constants for the probe's kind of evidence.
# The report of a probe shows only that it ran to its end, and which error stopped it. Whether it
# escaped is observed from outside.
import ctypes
import errno
import os
import sys


def _report(what, detail):
    sys.stdout.flush()
    os.write(1, f"\n{MARK} {what} {detail}\n".encode())


def stopped(error):
    """The attack failed: with an OSError, or with an object whose `reason` is the name of an error."""
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number) or getattr(error, "reason", None)
    if isinstance(error, TimeoutError):
        name = "ETIMEDOUT"
    _report("stopped", name if isinstance(name, str) else type(error).__name__)


def finished():
    """The attack ran to its end. Whether it succeeded is observed from outside."""
    _report("finished", "-")


# System calls by number: on x86-64, on 64-bit Arm. None where a processor has no such call.
_CALLS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mbind": (237, 235),
    "memfd_secret": (447, 447),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sched_setscheduler": (144, 119),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vmsplice": (278, 75),
}
_LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(name, *arguments):
    """Makes a system call, and returns `OK` or the name of the error."""
    number = _CALLS[name][os.uname().machine == "aarch64"]
    if number is None:
        return "ENOSYS"
    converted = [ctypes.c_long(it) if isinstance(it, int) else it for it in arguments]
    result = _LIBC.syscall(ctypes.c_long(number), *converted)
    return "OK" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "OTHER")


def answered(*answers):
    """What a kernel answered to each system call that was tried."""
    _report("answered", ",".join(answers))


# ---------------------------------------------------------------------------------- the probe itself
