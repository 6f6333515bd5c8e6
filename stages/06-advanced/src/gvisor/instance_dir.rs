//! Directories and cgroups of one engine instance, and how they are removed again.
//!
//! ```text
//! runsc-INSTANCE/              beside the image's files; INSTANCE is the server process
//!   ENGINE/                    one engine of it
//!     rootfs-PROFILE/          the sandboxes' root file system; that of an environment is a mount
//!     rootfs-PROFILE.layer/    what differs in that from the image
//!     kept-ENVIRONMENT/        the same for sandboxes that stay, with its layer
//!     state/                   runsc's own state
//!     SANDBOX/config.json      one sandbox's bundle
//! CGROUPS/crucible-runsc/INSTANCE.ENGINE/SANDBOX
//! ```
//!
//! Guarantee: whatever an engine has created is removed. While it runs, by a task for each sandbox
//! (`process`). When it is closed, by [`InstanceDir::close`], which first refuses new sandboxes,
//! then ends those that exist, and removes the directories last. When the server is killed, its
//! sandboxes end by themselves, because their supervisors see the end of their sockets; what is
//! left, or hangs, is removed by the next engine that starts.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stage_02_queue::InstanceId;
use stage_04_docker::{Cgroup, CgroupHierarchy, Users};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::leftovers::remove_leftovers;
use super::options::RunscError;
use super::process::REMOVE_TIMEOUT;
use super::profile::SandboxProfile;
use super::root_mount::unmount_below;
use super::rootfs::{self, ignore_not_found};

/// Sandboxes that may be removed after their responses at the same time, before further responses
/// have to wait.
const MAX_PENDING_REMOVALS: usize = 8;
/// Of an instance's directory, before the instance's id.
pub(super) const DIR_PREFIX: &str = "runsc-";
/// The parent of the cgroups of all engines of this kind.
pub(super) const CGROUP_PARENT: &str = "crucible-runsc";

/// The directories and cgroups of one engine.
pub(super) struct InstanceDir {
    pub(super) path: PathBuf,
    /// One for each sandbox that exists.
    pub(super) users: Arc<Users>,
    hierarchy: CgroupHierarchy,
    /// The cgroup that the sandboxes' cgroups are below.
    cgroup_name: String,
    /// The images of environments, locked as long as this exists.
    images: Mutex<Vec<File>>,
    /// Fires before `tasks` is waited for. What creates a sandbox takes a token of `tasks` and then
    /// looks here, so that either the sandbox is refused or the close waits for it.
    pub(super) closing: CancellationToken,
    /// One task for each sandbox that exists, and a token for each that is being created.
    tasks: TaskTracker,
    /// A permit for each removal after a response, up to [`MAX_PENDING_REMOVALS`].
    removals: Arc<Semaphore>,
    runtime: Handle,
}

/// The names of one sandbox.
pub(super) struct SandboxPaths {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) cgroup: Cgroup,
}

impl SandboxPaths {
    /// Names of a sandbox that does not exist.
    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        let mount = stage_04_docker::CgroupMount { root: "/".to_owned(), dir: "/none".into() };
        let cgroup = CgroupHierarchy::V2(mount).cgroup("none");
        Self { id: "id".to_owned(), bundle: "/none".into(), cgroup }
    }

    /// Removes what a failed start has created, as far as that is possible. Blocks.
    pub(super) fn remove_files(&self) {
        let bundle = std::fs::remove_dir_all(&self.bundle).or_else(ignore_not_found);
        if let Err(error) = bundle {
            tracing::warn!(id = self.id, %error, "the bundle of a failed start is left");
        }
        if let Err(error) = self.cgroup.remove() {
            tracing::warn!(id = self.id, %error, "the cgroup of a failed start is left");
        }
    }
}

impl InstanceDir {
    // ANCHOR: create
    /// Creates the directories of an engine beside the profile's image, with a root file system
    /// made of it. Removes what killed engines have left there.
    pub(super) async fn create(
        profile: &SandboxProfile,
        users: Arc<Users>,
    ) -> Result<Arc<Self>, RunscError> {
        let hierarchy = CgroupHierarchy::detect().await?;
        let (runtime, profile) = (Handle::current(), profile.clone());
        let blocking = move || {
            let parent = profile.image.parent().unwrap_or(Path::new("/"));
            let instance = InstanceId::this_process();
            remove_leftovers(parent, &hierarchy, &instance);
            // Two engines of one process have directories of their own.
            let engine = Uuid::new_v4().simple().to_string();
            let path = parent.join(format!("{DIR_PREFIX}{instance}")).join(&engine);
            let dir = Self {
                cgroup_name: format!("{CGROUP_PARENT}/{instance}.{engine}"),
                path,
                users,
                hierarchy,
                images: Mutex::new(Vec::new()),
                closing: CancellationToken::new(),
                tasks: TaskTracker::new(),
                removals: Arc::new(Semaphore::new(MAX_PENDING_REMOVALS)),
                runtime,
            };
            match dir.create_files(&profile) {
                Ok(()) => Ok(Arc::new(dir)),
                Err(source) => {
                    dir.remove_files();
                    Err(RunscError::CreateDir { path: dir.path, source })
                }
            }
        };
        let created = tokio::task::spawn_blocking(blocking).await;
        created.map_err(|panicked| RunscError::Panicked { source: panicked })?
    }
    // ANCHOR_END: create

    fn create_files(&self, profile: &SandboxProfile) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        rootfs::create(profile, &self.rootfs(profile), self.users.range())?;
        // The gofer, gVisor's file server, runs as `nobody` when it opens the root.
        let others_may_enter = Permissions::from_mode(0o711);
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::set_permissions(&self.path, others_may_enter.clone())?;
        std::fs::set_permissions(parent, others_may_enter)
    }

    /// Creates the root file system of one more profile. Blocks.
    pub(super) fn add_rootfs(&self, profile: &SandboxProfile) -> Result<(), RunscError> {
        let path = self.rootfs(profile);
        // A start that failed may have left a part of it.
        let create = || {
            // Before the mount: what builds environments does not remove an image that is locked.
            let image = File::open(&profile.image)?;
            image.lock_shared()?;
            rootfs::remove(&path)?;
            rootfs::mount(profile, &path, self.users.range())?;
            self.images.lock().unwrap_or_else(PoisonError::into_inner).push(image);
            Ok(())
        };
        create().map_err(|source| RunscError::CreateDir { path, source })
    }

    /// Creates the root file system of sandboxes that stay: what `add` writes, over `image`. Blocks.
    pub(super) fn add_kept_root(
        &self,
        image: &Path,
        path: &Path,
        add: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), RunscError> {
        let create = || {
            let locked = File::open(image)?;
            locked.lock_shared()?;
            rootfs::remove(path)?;
            rootfs::mount_layer(image, path, add)?;
            self.images.lock().unwrap_or_else(PoisonError::into_inner).push(locked);
            Ok(())
        };
        create().map_err(|source| RunscError::CreateDir { path: path.to_owned(), source })
    }

    /// The root file system of sandboxes that stay, of this environment.
    pub(super) fn kept_root(&self, environment: &str) -> PathBuf {
        self.path.join(format!("kept-{environment}"))
    }

    /// The root file system of a profile's sandboxes.
    pub(super) fn rootfs(&self, profile: &SandboxProfile) -> PathBuf {
        self.path.join(format!("rootfs-{}", profile.language.name))
    }

    /// Where runsc stores the state of its sandboxes.
    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The names of a new sandbox.
    pub(super) fn sandbox_paths(&self) -> SandboxPaths {
        let id = Uuid::new_v4().simple().to_string();
        let cgroup = self.hierarchy.cgroup(&format!("{}/{id}", self.cgroup_name));
        SandboxPaths { bundle: self.path.join(&id), id, cgroup }
    }

    /// Keeps [`Self::close`] waiting until it is dropped. None when that has started.
    pub(super) fn in_use(&self) -> Option<TaskTrackerToken> {
        let token = self.tasks.token();
        (!self.closing.is_cancelled()).then_some(token)
    }

    /// A permit to remove one sandbox after a response.
    pub(super) async fn removal_permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.removals).acquire_owned().await.ok()
    }

    /// Runs a task that [`Self::close`] waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tasks.spawn_on(task, &self.runtime)
    }

    /// How many sandboxes of this engine exist. Blocks.
    pub(super) fn remaining(&self) -> usize {
        self.hierarchy.cgroup(&self.cgroup_name).children().len()
    }

    /// Refuses new sandboxes, removes those that exist, and then the directories; within a bound.
    pub(super) async fn close(self: &Arc<Self>) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(REMOVE_TIMEOUT * 2, self.tasks.wait()).await.is_err() {
            tracing::warn!("not every sandbox could be removed: the next start tries again");
        }
        let dir = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || dir.remove_files()).await {
            tracing::error!(%error, "the removal of the engine's directories panicked");
        }
    }

    fn remove_files(&self) {
        remove_engine_cgroup(&self.hierarchy, &self.cgroup_name);
        let removed = unmount_below(&self.path).and_then(|()| std::fs::remove_dir_all(&self.path));
        if let Err(error) = removed {
            tracing::warn!(dir = %self.path.display(), %error, "cannot be removed");
        }
        if let Some(parent) = self.path.parent() {
            // Another engine of this process may have directories there.
            std::fs::remove_dir(parent).ok();
        }
    }
}

/// Removes the cgroup of an engine that has no sandboxes any more, and the parent of all engines
/// when this was the last one. Blocks.
pub(super) fn remove_engine_cgroup(hierarchy: &CgroupHierarchy, name: &str) {
    if let Err(error) = hierarchy.cgroup(name).remove() {
        tracing::warn!(%error, "an engine's cgroup is left to the next start");
    }
    // Other engines may have cgroups there.
    hierarchy.cgroup(CGROUP_PARENT).remove().ok();
}
