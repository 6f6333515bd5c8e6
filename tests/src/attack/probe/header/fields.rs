//! The values that the fields of a header can have.

use std::fmt;

/// Defines an enum and the word for each of its variants.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in a header.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            pub(crate) fn parse(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or_else(|| format!("{text:?} is not one of: {}", [$($word),+].join(", ")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The groups of probes, in the order of the book.
    Group {
        /// Files of the host, read or written.
        HostFiles = "host-files",
        /// Environment, command lines, credentials, identifiers of the machine.
        Secrets = "secrets",
        /// Connections over a network, in and out.
        Network = "network",
        /// Other processes, and processes that survive.
        Processes = "processes",
        /// Memory, disk, processors, output.
        Resources = "resources",
        /// System calls and the kernel's own files.
        Kernel = "kernel",
        /// Known ways out of containers.
        Breakout = "breakout",
        /// What one evaluation leaves behind for another.
        Traces = "traces",
        /// The server and its API.
        Platform = "platform",
        /// One client against another.
        Tenants = "tenants",
        /// Forged results and deceived graders.
        Evaluator = "evaluator",
    }
}

words! {
    /// What an attacker gets, by gVisor's security policy.
    Class {
        /// Code that runs outside.
        Escape = "Escape",
        /// Something of the host.
        HostLeak = "HostLeak",
        /// A way to send data out.
        Exfil = "Exfil",
        /// Another evaluation's data or behaviour.
        Lateral = "Lateral",
        /// The machine stops serving.
        HostDos = "HostDoS",
        /// Another evaluation is starved.
        PeerDos = "PeerDoS",
        /// More rights inside.
        InternalEsc = "InternalEsc",
        /// Its own sandbox's files.
        InternalRead = "InternalRead",
        /// Only itself.
        SelfDos = "SelfDoS",
        /// A wrong result of its own run.
        Integrity = "Integrity",
    }
}

words! {
    /// Where a probe may run on a stage that leaves the host open.
    Host {
        /// Anywhere: it reads and connects, and changes nothing.
        Safe = "safe",
        /// Only inside a jail of the ladder.
        Confined = "confined",
    }
}

words! {
    /// The kind of listener that the probe connects to.
    Net {
        /// A TCP port of each of the host's addresses.
        Tcp = "tcp",
        /// A UDP port of each of the host's addresses.
        Udp = "udp",
        /// A TCP port of the host's IPv6 loopback.
        Tcp6 = "tcp6",
        /// An abstract Unix socket.
        Abstract = "abstract",
        /// A Unix socket in a directory of the host.
        UnixPath = "unix-path",
    }
}

words! {
    /// Which identifier of the machine must not be disclosed.
    Fact {
        /// The host's name.
        Hostname = "hostname",
        /// `/etc/machine-id`.
        MachineId = "machine-id",
        /// The kernel's number of this boot.
        BootId = "boot-id",
        /// The kernel's version.
        KernelRelease = "kernel-release",
        /// The hardware addresses of the host's network interfaces.
        Mac = "mac",
        /// The host's name servers.
        Resolver = "resolver",
        /// The machine's memory, in kB.
        MemoryTotal = "memory-total",
        /// The directory on the host with a container's files.
        OverlayDir = "overlay-folder",
    }
}

words! {
    /// The resource whose use must not grow.
    Resource {
        /// Memory of the stage and all that it runs, in MiB.
        Memory = "memory",
        /// Space on a file system of the host, in MiB.
        Disk = "disk",
        /// What is written outside of the scratch space, in MiB.
        Root = "root",
        /// Processes and threads.
        Processes = "processes",
        /// Processor time for each second that passes, in hundredths of one processor.
        Cpu = "cpu",
    }
}

words! {
    /// When the second of two programs runs.
    Order {
        /// When the first has ended.
        After = "after",
        /// While the first runs.
        Together = "together",
    }
}

/// How success is observed. `tests/probes/README.md` describes what each prepares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A fresh secret in a file of the host is in the output.
    CanaryFile,
    /// A fresh secret of the server's environment is in the output.
    CanaryEnv,
    /// A fresh secret of another process of the host is in the output.
    CanaryProcess,
    /// A fresh secret that a service of the host hands out is in the output.
    CanaryService,
    /// A secret in the home of the server's user is in the output.
    CanaryHome,
    /// A secret in a file that the server was started with open is in the output.
    CanaryDescriptor,
    /// What another evaluation printed is in the output.
    CanaryEvaluation,
    /// One of the machine's own names or numbers is in the output.
    CanaryFact(Fact),
    /// A listener of the host received the probe's token.
    Listener(Net),
    /// The host could connect to the probe, and received its token.
    ConnectBack,
    /// The probe's file is on the host, in this directory or in a world-writable one.
    FileAppears(Option<String>),
    /// A file of the host has changed.
    FileChanged,
    /// The probe's process still runs after its evaluation has ended.
    Survivor,
    /// The host's own counter grew by more than this.
    Grows(Resource, u64),
    /// The server no longer responds.
    ServerDies,
    /// The response took more than this many seconds.
    Late(u64),
    /// The host's kernel did not refuse a system call.
    Kernel,
    /// The secret of the first program is in the second one's output.
    Pair(Order),
    /// The evaluation has this value in this field.
    Result {
        /// A field of the evaluation.
        field: String,
        /// The wrong value.
        value: String,
    },
    /// A grader in the same process was deceived.
    Grade,
    /// The platform's list has an evaluation that a program submitted.
    Resubmits,
    /// The server is attacked over HTTP, by a function that returns the verdict itself.
    Http,
}

/// The kinds of evidence, and the arguments of each.
const KINDS: [&str; 22] = [
    "canary-file",
    "canary-env",
    "canary-process",
    "canary-service",
    "canary-home",
    "canary-descriptor",
    "canary-evaluation",
    "canary-fact",
    "listener",
    "connect-back",
    "file-appears",
    "file-changed",
    "survivor",
    "grows",
    "server-dies",
    "late",
    "kernel",
    "pair",
    "result",
    "grade",
    "resubmits",
    "http",
];

impl Evidence {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let evidence = match kind {
            "canary-fact" => return Fact::parse(rest).map(Self::CanaryFact),
            "listener" => return Net::parse(rest).map(Self::Listener),
            "pair" => return Order::parse(rest).map(Self::Pair),
            "grows" => return grows(rest),
            "late" => {
                let seconds = rest.parse().ok().filter(|seconds| *seconds > 0);
                let wanted = || "give the seconds, as in `late 15`".to_owned();
                return seconds.map(Self::Late).ok_or_else(wanted);
            }
            "file-appears" if rest.starts_with('/') => {
                return Ok(Self::FileAppears(Some(rest.to_owned())));
            }
            "result" => return result(rest),
            "canary-file" => Self::CanaryFile,
            "canary-env" => Self::CanaryEnv,
            "canary-process" => Self::CanaryProcess,
            "canary-service" => Self::CanaryService,
            "canary-home" => Self::CanaryHome,
            "canary-descriptor" => Self::CanaryDescriptor,
            "canary-evaluation" => Self::CanaryEvaluation,
            "connect-back" => Self::ConnectBack,
            "file-appears" => Self::FileAppears(None),
            "file-changed" => Self::FileChanged,
            "survivor" => Self::Survivor,
            "server-dies" => Self::ServerDies,
            "kernel" => Self::Kernel,
            "grade" => Self::Grade,
            "resubmits" => Self::Resubmits,
            "http" => Self::Http,
            _ => return Err(format!("{kind:?} is not one of: {}", KINDS.join(", "))),
        };
        if rest.is_empty() { Ok(evidence) } else { Err(format!("{kind} takes no arguments")) }
    }
}

fn grows(rest: &str) -> Result<Evidence, String> {
    let (resource, amount) = rest.split_once(' ').unwrap_or((rest, ""));
    let resource = Resource::parse(resource)?;
    let amount = amount.parse().ok().filter(|amount| *amount > 0);
    let wanted = || "give the amount, as in `grows memory 400`".to_owned();
    Ok(Evidence::Grows(resource, amount.ok_or_else(wanted)?))
}

fn result(rest: &str) -> Result<Evidence, String> {
    match rest.split_once('=') {
        Some((field, value)) if !field.is_empty() && !value.is_empty() => {
            Ok(Evidence::Result { field: field.to_owned(), value: value.to_owned() })
        }
        _ => Err("give field and value, as in `result outcome=memory_exceeded`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_with_its_words() {
        let resource = Evidence::Grows(Resource::Memory, 400);
        assert_eq!(Evidence::parse("grows memory 400"), Ok(resource));
        let Ok(Evidence::Result { field, value }) = Evidence::parse("result signal=SIGKILL") else {
            panic!("not a result");
        };
        assert_eq!((field.as_str(), value.as_str()), ("signal", "SIGKILL"));
        for wrong in [
            "grows",
            "grows memory",
            "grows memory 0",
            "grows love 3",
            "result outcome",
            "kernel 4",
            "canary-fact",
            "pair",
            "",
        ] {
            assert!(Evidence::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_kind_is_known_by_its_name() {
        for kind in KINDS {
            let error = Evidence::parse(kind).err().unwrap_or_default();
            assert!(!error.contains("canary-file, canary-env"), "{kind}: {error}");
        }
    }
}
