//! The engine that drives runsc itself, with one of its controls left out.
//!
//! The stage is given a copy of runsc. Once it runs, a shell script takes the place of the copy: it
//! takes one control out of what the stage has ordered, the specification in `config.json`, an option or
//! a file of the cgroup, and then executes the real runsc. A stage that is given the script from the
//! start must refuse to start, and report that control.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::support::server::Launch;

// ANCHOR: controls
/// A control of a sandbox of runsc that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum RunscControl {
    /// The network is the host's
    Network,
    /// The root file system is writable
    ReadOnlyRoot,
    /// The number of processes is not limited
    Pids,
    /// Memory is not limited
    Memory,
    /// All processors may be used
    Processors,
    /// Neither the scratch space nor a file is limited
    Disk,
    /// The sandbox is in no cgroup of its own
    Cgroup,
    /// Directories of the host are in the sandbox
    HostFiles,
    /// The host's name
    HostName,
    /// The host's resolver
    Resolver,
    /// The host's id
    MachineId,
    /// All sandboxes have the same /dev/shm
    SharedMemory,
    /// The runtime is runc
    Runtime,
}

impl RunscControl {
    /// The shell commands that leave it out. `$spec` is the specification, `$groups` has the cgroup's
    /// directories; the arguments are runsc's.
    fn script(self) -> &'static str {
        match self {
            Self::Network => {
                r#"edit 's/{"type":"network"},//'; replace --network=none --network=host"#
            }
            Self::ReadOnlyRoot => r#"edit 's/"readonly":true/"readonly":false/'"#,
            Self::Pids => "limit pids.max max",
            Self::Memory => {
                "limit memory.memsw.limit_in_bytes -1; limit memory.limit_in_bytes -1; limit memory.max max"
            }
            Self::Processors => "limit cpu.cfs_quota_us -1; limit cpu.max max",
            Self::Disk => {
                r#"edit 's/,"size=[0-9]*"//g; s/{"type":"RLIMIT_FSIZE"[^}]*},//'; limit memory.memsw.limit_in_bytes -1; limit memory.limit_in_bytes -1; limit memory.max max"#
            }
            Self::Cgroup => r#"edit 's/"cgroupsPath":"[^"]*",//'"#,
            Self::HostFiles => "for dir in /tmp/crucible-ladder-*; do bind $dir; done",
            Self::HostName => r#"edit "s/\"hostname\":\"[^\"]*\"/\"hostname\":\"$(hostname)\"/""#,
            Self::Resolver => "bind /etc/resolv.conf",
            Self::MachineId => "bind /etc/machine-id",
            Self::SharedMemory => {
                r#"mkdir -p -m 1777 $here/shm; chmod 1777 $here/shm; edit "s#{\"destination\":\"/dev/shm\",[^}]*}#{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"$here/shm\",\"options\":[\"rw\"]}#""#
            }
            // One start at a time: runc writes a link into /dev of the root that all sandboxes share.
            Self::Runtime => {
                "echo changed >> $here/changed; id=; for word; do id=$word; done; exec flock -o \
                 $here/lock runc --root $here/runc run --detach --bundle ${spec%/config.json} $id"
            }
        }
    }
}
// ANCHOR_END: controls

/// What every script begins with.
const FUNCTIONS: &str = r#"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
spec=
for word; do case $word in --bundle=*) spec=${word#--bundle=}/config.json ;; esac; done
# Only the start of a sandbox is altered.
[ -n "$spec" ] || exec $here/real "$@"
group=$(sed 's/.*"cgroupsPath":"\([^"]*\)".*/\1/' $spec)
edit() { sed "$1" $spec > $spec.new && mv $spec.new $spec; }
set_one() { [ ! -f $1 ] || echo $2 > $1; }
limit() { for dir in /sys/fs/cgroup$group /sys/fs/cgroup/*$group; do set_one $dir/$1 $2; done; }
bind() { edit "s#\"mounts\":\[#&#; s#\],\"process\":#,{\"destination\":\"$1\",\"type\":\"bind\",\"source\":\"$1\",\"options\":[\"ro\"]}],\"process\":#"; }
from= to=
replace() { from=$1 to=$2; }
"#;
/// What every script ends with.
const EXECUTE: &str = r#"
echo changed >> $here/changed
for word; do
    shift
    [ "$word" = "$from" ] && word=$to
    set -- "$@" "$word"
done
exec $here/real "$@"
"#;

/// A directory with a copy of runsc, which can be replaced by a script. Dropping it removes both.
#[derive(Debug)]
pub struct FaultyRunsc {
    dir: tempfile::TempDir,
}

impl FaultyRunsc {
    /// A copy of the runsc on `PATH`.
    ///
    /// # Errors
    ///
    /// When there is no runsc, or it cannot be copied.
    pub fn start() -> Result<Self> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&paths).map(|dir| dir.join("runsc"));
        let runsc = found.find(|path| path.is_file()).context("runsc is not on PATH")?;
        // Not below a prefix of the ladder's other directories, which a control shows to programs. The
        // processes of a sandbox run as another user, and have to find the file that they execute.
        let dir = tempfile::Builder::new().prefix("runsc-faulty-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        fs::copy(&runsc, dir.path().join("runsc")).context("cannot copy runsc")?;
        fs::hard_link(dir.path().join("runsc"), dir.path().join("real"))?;
        Ok(Self { dir })
    }

    /// One with `control` left out from the start.
    ///
    /// # Errors
    ///
    /// When there is no runsc, or it cannot be copied.
    pub fn start_without(control: RunscControl) -> Result<Self> {
        let faulty_runsc = Self::start()?;
        faulty_runsc.leave_out(control)?;
        Ok(faulty_runsc)
    }

    /// Lets the stage drive this runsc. It starts each sandbox for its program, so that none waits
    /// that was started with all controls, and does not verify itself again while it is attacked.
    #[must_use]
    pub fn drive(&self, launch: Launch) -> Launch {
        launch
            .arg("--runsc")
            .arg(self.dir.path().join("runsc"))
            .arg("--warm-sandboxes=0")
            .arg("--self-test-seconds=3600")
    }

    /// Leaves `control`, and no other, out of every sandbox that is started from now on.
    ///
    /// # Errors
    ///
    /// When the script cannot be written.
    pub fn leave_out(&self, control: RunscControl) -> Result<()> {
        let dir = self.dir.path();
        let script = dir.join("script");
        let text = format!(
            "#!/bin/sh\nhere={}\n{FUNCTIONS}\n{}\n{EXECUTE}",
            dir.display(),
            control.script()
        );
        write_script(&script, &text)?;
        // In one step: a sandbox is started with the copy or with the script.
        fs::rename(script, dir.join("runsc"))?;
        Ok(())
    }

    /// How many sandboxes were started without a control.
    pub fn changed(&self) -> usize {
        let changed: PathBuf = self.dir.path().join("changed");
        fs::read_to_string(changed).map_or(0, |text| text.lines().count())
    }
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
