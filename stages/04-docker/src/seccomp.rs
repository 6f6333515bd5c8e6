//! The system calls that a program may make: a list of allowed ones, and every other is refused.
//!
//! The rule it keeps: a system call that a later kernel adds is refused. Docker's own list, in the release that Debian 12 has, lets `io_uring`, `ptrace`,
//! `AF_VSOCK`, `modify_ldt` and `memfd_secret` through; this one was written from the other end: it has
//! what Python and its standard library need. No other architecture is in it, so that the 32-bit
//! entry of the same kernel is closed as well.
//!
//! | left out | why |
//! |---|---|
//! | `io_uring_*`, `io_setup` and family | a second way into the kernel that no filter sees; the most exploited one of recent years |
//! | `ptrace`, `process_vm_*`, `process_madvise`, `pidfd_getfd`, `kcmp` | reach into other processes |
//! | `unshare`, `setns`, `clone` and `clone3` with new namespaces | root in a namespace of one's own opens most of the kernel |
//! | `mount`, `umount2`, `pivot_root`, `chroot`, `fsopen`, `open_tree`, `move_mount`, ... | only the platform mounts file systems |
//! | `keyctl`, `add_key`, `request_key` | keys are not namespaced: they outlive the program |
//! | `bpf`, `perf_event_open`, `userfaultfd` | code in the kernel, its timing, its races held open |
//! | `modify_ldt`, `vm86`, `iopl`, `ioperm` | old processor features with old vulnerabilities |
//! | `memfd_create`, `memfd_secret`, `execveat` | a file on no file system bypasses `noexec` and is invisible to the host |
//! | `splice`, `tee`, `vmsplice` | pages shared by reference: how Dirty Pipe wrote to read-only files |
//! | `inotify_*`, `fanotify_*`, `mq_*`, `shm*`, `sem*`, `msg*` | not namespaced, or held by the kernel for a user: what is left is a message to another program |
//! | `sysinfo`, `syslog` | numbers of the host: its load is a channel to another program |
//! | `sync`, `syncfs` | wait for the host's disks, and make every other process wait |
//! | `open_by_handle_at`, `name_to_handle_at` | open files by number, without any path |
//! | `init_module`, `kexec_load`, `reboot`, `swapon`, `acct`, `settimeofday`, ... | administration of the machine |
//! | `prlimit64` of another process | init could be given a limit that ends it |
//! | `seccomp` | a filter that waits for another process may stall the kernel |
//!
//! What it does not protect against: a vulnerability in one of the allowed calls. The kernel is
//! shared. And runsc never reads this profile: a program in gVisor calls gVisor's own kernel.

use serde_json::{Value, json};

// ANCHOR: allowed
/// What Python and its standard library need, in groups.
const ALLOWED: [(&str, &str); 9] = [
    (
        "files",
        "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat \
         faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl \
         fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate \
         futimesat getcwd getdents getdents64 getxattr ioctl lchown lgetxattr link linkat listxattr \
         llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open \
         openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink \
         readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr stat statfs \
         statx symlink symlinkat sync_file_range truncate umask unlink unlinkat utime utimensat \
         utimes write writev",
    ),
    (
        "memory",
        "brk madvise membarrier mlock mmap mprotect mremap msync munlock munmap \
         map_shadow_stack mseal",
    ),
    (
        "processes and threads",
        "arch_prctl execve exit exit_group fork futex futex_requeue futex_wait futex_waitv \
         futex_wake gettid kill pidfd_open pidfd_send_signal prctl rseq sched_yield \
         set_robust_list set_tid_address tgkill tkill vfork wait4 waitid",
    ),
    (
        "signals",
        "pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
         rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd \
         signalfd4",
    ),
    (
        "identity of the process",
        "capget getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getresgid \
         getresuid getsid getuid setpgid setsid uname",
    ),
    (
        "time",
        "alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep \
         setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_settime \
         timerfd_create timerfd_gettime timerfd_settime times",
    ),
    (
        "waiting for several things",
        "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 \
         pipe pipe2 poll ppoll pselect6 select",
    ),
    (
        "limits and shares",
        "getcpu getpriority getrandom getrlimit getrusage ioprio_get \
         sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
         sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity \
         sched_setparam sched_setscheduler setpriority setrlimit",
    ),
    (
        "sockets that `socket` has created",
        "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg \
         recvmsg sendmmsg sendmsg sendto setsockopt shutdown",
    ),
];
// ANCHOR_END: allowed

/// Every flag of `clone` that creates a namespace: mount, cgroup, UTS, IPC, user, PID and network.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
const SOCK_SEQPACKET: u64 = 5;
/// The type of a socket, without the flags that come with it.
const SOCKET_TYPE_MASK: u64 = 0xF;
const TCP: u64 = 6;
const UDP: u64 = 17;
/// Family, type and protocol. For any other, the kernel would load a module, for every process that
/// asks for such a socket.
const SOCKETS: [(u64, u64, u64); 11] = [
    (AF_UNIX, SOCK_STREAM, 0),
    (AF_UNIX, SOCK_DGRAM, 0),
    (AF_UNIX, SOCK_SEQPACKET, 0),
    (AF_INET, SOCK_STREAM, 0),
    (AF_INET, SOCK_STREAM, TCP),
    (AF_INET, SOCK_DGRAM, 0),
    (AF_INET, SOCK_DGRAM, UDP),
    (AF_INET6, SOCK_STREAM, 0),
    (AF_INET6, SOCK_STREAM, TCP),
    (AF_INET6, SOCK_DGRAM, 0),
    (AF_INET6, SOCK_DGRAM, UDP),
];
/// `personality(0)` and the query `0xffffffff`.
const PERSONALITIES: [u64; 2] = [0, 0xFFFF_FFFF];

/// The profile, in Docker's format.
pub(crate) fn profile() -> Value {
    let names: Vec<&str> = ALLOWED.iter().flat_map(|(_, names)| names.split(' ')).collect();
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    // ANCHOR: clone
    // Threads and processes are allowed, namespaces are not. `clone3` has its flags in memory, which
    // no filter can read: "no such system call" makes the C library use `clone`.
    rules.push(allow("clone", &[masked(0, NEW_NAMESPACES, 0)]));
    rules.push(refuse(&["clone3"], ENOSYS));
    // ANCHOR_END: clone
    // Limits of the caller alone: those of init are not the program's.
    rules.push(allow("prlimit64", &[equal(0, 0)]));
    rules.extend(PERSONALITIES.map(|value| allow("personality", &[equal(0, value)])));
    for (family, kind, protocol) in SOCKETS {
        let arguments = [equal(0, family), masked(1, SOCKET_TYPE_MASK, kind), equal(2, protocol)];
        rules.push(allow("socket", &arguments));
        if family == AF_UNIX {
            rules.push(allow("socketpair", &arguments));
        }
    }
    rules.push(json!({
        "names": ["socket", "socketpair"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": EAFNOSUPPORT,
        "args": [above(0, AF_INET6)],
    }));
    // Without an error number, the error is "operation not permitted".
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
}

fn allow(name: &str, arguments: &[Value]) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments })
}

fn refuse(names: &[&str], error: u32) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error })
}

fn equal(index: u32, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

fn above(index: u32, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_GT" })
}

fn masked(index: u32, mask: u64, value: u64) -> Value {
    json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<&'static str> {
        ALLOWED.iter().flat_map(|(_, names)| names.split(' ')).collect()
    }

    #[test]
    fn no_call_is_listed_twice_or_misspelt_by_a_line_break() {
        let mut names = allowed();
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(char::is_whitespace)));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_the_table_leaves_out_is_not_allowed() {
        for name in [
            "io_uring_setup",
            "io_setup",
            "ptrace",
            "process_vm_readv",
            "kcmp",
            "unshare",
            "setns",
            "clone3",
            "mount",
            "chroot",
            "fsopen",
            "keyctl",
            "add_key",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "modify_ldt",
            "iopl",
            "memfd_create",
            "memfd_secret",
            "execveat",
            "splice",
            "vmsplice",
            "inotify_init1",
            "fanotify_init",
            "mq_open",
            "shmget",
            "sysinfo",
            "syslog",
            "sync",
            "open_by_handle_at",
            "name_to_handle_at",
            "init_module",
            "kexec_load",
            "reboot",
            "seccomp",
            "socket",
            "socketpair",
            "clone",
            "personality",
            "prlimit64",
        ] {
            assert!(!allowed().contains(&name), "{name} is allowed without a condition");
        }
    }
}
