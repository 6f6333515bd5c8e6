//! What an engine has on this machine, and how it is taken away again, whatever happens.
//!
//! Three kinds of things: a folder beside the image's files (`runsc-OWNER/ENGINE`, with the sandboxes'
//! root, runsc's own state and a folder for each sandbox), control groups of the same names, and
//! processes, all of which are in the groups.
//!
//! The rule it keeps: a sandbox that is dropped, for whatever reason, is ended and taken away by a
//! task of its own. When the stage itself is killed, its sandboxes end by themselves, because their
//! supervisors see the end of their sockets; what is left then, or hangs, is taken away by the next
//! engine that starts.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stage_02_queue::InstanceId;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::cgroup::{Groups, Trees};
use super::options::RunscError;
use super::rootfs;

/// Sandboxes that may wait to be taken away before answers have to wait for them.
const WAITING: usize = 8;
/// How long runsc has to clean up after a sandbox whose processes are gone, before it is ended too.
const CLEANING: Duration = Duration::from_secs(2);
/// How long taking a sandbox away may take, before it is left to the next start.
const REMOVING: Duration = Duration::from_secs(15);

/// An engine's place.
pub(super) struct Home {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Its name in the control groups.
    name: String,
    pub(super) trees: Trees,
    owner: InstanceId,
    tasks: TaskTracker,
    waiting: Arc<Semaphore>,
    runtime: Handle,
}

/// What there is of one sandbox beside its process.
pub(super) struct Site {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) groups: Groups,
}

impl Home {
    // ANCHOR: home
    /// A place beside `image`, with a root made of it. What killed engines left there goes.
    pub(super) fn make(image: &Path) -> Result<Arc<Self>, RunscError> {
        let trees = Trees::find().map_err(|reason| RunscError::NoControlGroups { reason })?;
        let beside = image.parent().unwrap_or(Path::new("/"));
        let owner = InstanceId::this_process();
        let reaped = reap(beside, &trees, &owner);
        tracing::info!(reaped, "took away what killed engines left behind");
        // Two engines of one process leave each other alone.
        let engine = Uuid::new_v4().simple().to_string();
        let folder = beside.join(format!("{FOLDER}{owner}")).join(&engine);
        let error = |source| RunscError::Home { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(error)?;
        rootfs::make(image, &folder.join("root")).map_err(error)?;
        // gVisor's file server has become nobody in particular when it looks for the root.
        let everybody_may_pass = Permissions::from_mode(0o711);
        std::fs::set_permissions(&folder, everybody_may_pass.clone()).map_err(error)?;
        let parent = folder.parent().unwrap_or(Path::new("/"));
        std::fs::set_permissions(parent, everybody_may_pass).map_err(error)?;
        Ok(Arc::new(Self {
            name: format!("{owner}.{engine}"),
            folder,
            trees,
            owner,
            tasks: TaskTracker::new(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            runtime: Handle::current(),
        }))
    }
    // ANCHOR_END: home

    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Where runsc writes what it knows of its sandboxes.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The names for a new sandbox.
    pub(super) fn site(&self) -> Site {
        let id = Uuid::new_v4().simple().to_string();
        let groups = self.trees.of(&self.name, &id);
        Site { bundle: self.folder.join(&id), id, groups }
    }

    /// A place among those that wait to be taken away.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).acquire_owned().await.ok()
    }

    // ANCHOR: take_away
    /// Expected a sandbox and takes it away, in the background.
    pub(super) fn take_away(
        &self,
        site: Site,
        child: Option<Child>,
        place: Option<OwnedSemaphorePermit>,
    ) -> tokio::task::JoinHandle<()> {
        let task = async move {
            match tokio::time::timeout(REMOVING, remove(&site, child)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(id = site.id, %error, "a sandbox is left to the next start");
                }
                Err(_) => {
                    tracing::warn!(id = site.id, "a sandbox does not end: left to the next start");
                }
            }
            drop(place);
        };
        self.tasks.spawn_on(task, &self.runtime)
    }
    // ANCHOR_END: take_away

    /// How many sandboxes of this engine there are.
    pub(super) fn remaining(&self) -> usize {
        self.trees.sandboxes(&self.name).len()
    }

    /// Waits until nothing is left, but not for ever.
    pub(super) async fn close(&self) {
        self.tasks.close();
        if tokio::time::timeout(REMOVING * 2, self.tasks.wait()).await.is_err() {
            tracing::warn!("not every sandbox could be taken away: the next start tries again");
        }
        self.trees.forget(&self.name);
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "could not be removed");
        }
        if let Some(parent) = self.folder.parent() {
            // Another engine of this process may still be there.
            let _shared = std::fs::remove_dir(parent);
        }
        tracing::debug!(owner = %self.owner, "closed");
    }
}

/// Expected all processes of a sandbox, waits for runsc, and removes what is left.
async fn remove(site: &Site, child: Option<Child>) -> std::io::Result<()> {
    let started = Instant::now();
    if let Some(mut child) = child {
        loop {
            // When the sandbox's processes are gone, runsc itself cleans up and ends. One that has
            // no sandbox, or hangs, is ended too.
            site.groups.kill();
            if started.elapsed() > CLEANING {
                let _ended = child.start_kill();
            }
            let pause =
                Duration::from_millis(if started.elapsed().as_millis() < 100 { 4 } else { 50 });
            if tokio::time::timeout(pause, child.wait()).await.is_ok() {
                break;
            }
        }
    }
    while !site.groups.kill() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // A process that has just ended may hold its group for another moment.
    let mut removed = site.groups.remove();
    while removed.is_err() && started.elapsed() < CLEANING {
        tokio::time::sleep(Duration::from_millis(2)).await;
        removed = site.groups.remove();
    }
    removed?;
    std::fs::remove_dir_all(&site.bundle).or_else(rootfs::missing_is_fine)
}

/// The beginning of the name of an owner's folder.
const FOLDER: &str = "runsc-";

/// Takes away what owners left behind that are gone: processes, groups, folders. Gives the number of
/// sandboxes and folders.
fn reap(beside: &Path, trees: &Trees, us: &InstanceId) -> usize {
    let gone = |name: &str| InstanceId::parse(name).is_some_and(|owner| owner.is_gone(us));
    let mut reaped = 0;
    for entry in std::fs::read_dir(beside).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix(FOLDER)).is_some_and(gone) {
            kill_those_of(&entry.path());
            reaped += 1;
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(folder = %entry.path().display(), %error, "could not be removed");
            }
        }
    }
    for engine in trees.engines() {
        if !engine.rsplit_once('.').is_some_and(|(owner, _)| gone(owner)) {
            continue;
        }
        for id in trees.sandboxes(&engine) {
            let groups = trees.of(&engine, &id);
            let started = Instant::now();
            while (!groups.kill() || groups.remove().is_err()) && started.elapsed() < CLEANING {
                std::thread::sleep(Duration::from_millis(5));
            }
            reaped += 1;
        }
        trees.forget(&engine);
    }
    reaped
}

/// Expected every process that has runsc's state in this folder: they say so on their command lines.
fn kill_those_of(folder: &Path) {
    let root = [b"--root=", folder.as_os_str().as_encoded_bytes()].concat();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid
            && line.split(|byte| *byte == 0).any(|word| word.starts_with(&root))
        {
            // That it has just ended by itself is as good.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}
