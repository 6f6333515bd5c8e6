//! What was built: a record beside the directory of files, which is all that a server reads.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::Profile;
use stage_06_advanced::{Environment, EnvironmentUses};

use super::definition::{Definition, Use, is_name};

/// An environment that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Its name, which is that of the record's file.
    pub(super) name: String,
    /// The digest of the list of its files.
    pub(super) digest: String,
    /// What it was made of.
    pub(super) definition: Definition,
    /// The Debian packages in it, as NAME=VERSION.
    pub(super) debian: Vec<String>,
    /// The digest of the builder that made it; a record of an older one has none.
    #[serde(default)]
    pub(super) builder: String,
    /// Its image, if Docker has one.
    #[serde(default)]
    pub(super) docker_image: Option<String>,
}

impl Record {
    /// The directory of an environment's files. Its name has their digest.
    pub(super) fn image(dir: &Path, name: &str, digest: &str) -> PathBuf {
        dir.join(format!("{name}-{}", digest.trim_start_matches("sha256:")))
    }

    /// The file of a record.
    pub(super) fn path(dir: &Path, name: &str) -> PathBuf {
        dir.join(format!("{name}.json"))
    }

    /// The record of an environment. None, if it was not built.
    pub(super) fn read(dir: &Path, name: &str) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(Self::path(dir, name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let record: Self = serde_json::from_slice(&bytes)?;
        let digest = record.digest.strip_prefix("sha256:").unwrap_or_default();
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if record.name != name || !is_name(name) || !is_digest {
            return Err(io::Error::other(format!("{name}.json is not the record of {name}")));
        }
        Ok(Some(record))
    }

    /// Writes this record, in one step.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join(format!(".{}.json.new", self.name));
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o644))?;
        std::fs::rename(&new, Self::path(dir, &self.name))
    }

    /// All records of a directory, by their names. What is none is left out, with a line in the log.
    ///
    /// Attack: a user of the machine puts an environment of its own there -> the directory is root's, or of the
    /// user who runs this, and no other can write to it; otherwise there are none.
    pub(super) fn all(dir: &Path) -> Vec<Self> {
        let Ok(metadata) = dir.metadata() else { return Vec::new() };
        let user = rustix::process::geteuid().as_raw();
        if ![0, user].contains(&metadata.uid()) || metadata.mode() & 0o022 != 0 {
            tracing::error!(dir = %dir.display(), "others can write to the directory of environments");
            return Vec::new();
        }
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").filter(|name| is_name(name)).map(str::to_owned)
        });
        let read = |name: String| match Self::read(dir, &name) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(name, %error, "an environment cannot be used");
                None
            }
        };
        let mut records: Vec<_> = names.filter_map(read).collect();
        records.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// The environment for the engines.
    pub(super) fn environment(&self, dir: &Path) -> Environment {
        let definition = &self.definition;
        let argv = definition.command.iter().map(|word| word.clone().into());
        Environment {
            profile: Profile {
                name: self.name.clone().into(),
                main_file: definition.file.clone().into(),
                argv: argv.collect(),
                allows_nul: false,
            },
            image: Self::image(dir, &self.name, &self.digest),
            digest: self.digest.clone(),
            docker_image: self.docker_image.clone(),
            variables: definition.variables.clone().into_iter().collect(),
            is_python: definition.is_python(),
            executes_files: definition.executes_files,
            memory_bytes: definition.limits.memory_bytes,
            max_memory_bytes: definition.limits.max_memory_bytes,
            pids: definition.limits.pids,
            warm_sandboxes: definition.warm_sandboxes.into(),
            uses: EnvironmentUses {
                evaluations: definition.uses.contains(&Use::Evaluations),
                sandboxes: definition.uses.contains(&Use::Sandboxes),
            },
        }
    }
}
