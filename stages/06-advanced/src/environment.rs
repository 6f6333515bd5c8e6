//! An environment: what a program runs in, beside the default one, built and pinned by the operator.
//!
//! A submission names one, as [`shared::Submission::profile`]. A later stage builds them and reads their list;
//! the engines here get it when they are started, and it does not change after that.

use std::path::PathBuf;

use shared::{Bounds, Limits, Profile};
use stage_04_docker::PythonEnvironment;

/// What programs of one environment run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name, the file name of a program, and the command that runs it, by its path in the image.
    pub profile: Profile,
    /// The directory with the image's files; the list of them is beside it.
    pub image: PathBuf,
    /// The digest that the list of its files must have.
    pub digest: String,
    /// The name of the image in Docker with the same files, for its engines. Only one of Python has any.
    pub docker_image: Option<String>,
    /// Variables that a program finds beside `HOME`.
    pub variables: Vec<(String, String)>,
    /// Whether the command is Debian's `/usr/bin/python3`, which is then started before there is a program.
    pub is_python: bool,
    /// Whether a file that a program has written may be executed, as the output of a compiler.
    pub executes_files: bool,
    /// Memory of a program that requests none, in bytes.
    pub memory_bytes: u64,
    /// The most memory that a program may request, in bytes.
    pub max_memory_bytes: u64,
    /// The most processes and threads.
    pub pids: u64,
    /// How many sandboxes wait for programs once it is in use.
    pub warm_sandboxes: usize,
    /// What it is for.
    pub uses: EnvironmentUses,
}

/// What an environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvironmentUses {
    /// Whether programs are evaluated in it, each in a sandbox of its own.
    pub evaluations: bool,
    /// Whether sandboxes that stay are opened of it.
    pub sandboxes: bool,
}

impl EnvironmentUses {
    /// Evaluations alone.
    pub const EVALUATIONS: Self = Self { evaluations: true, sandboxes: false };
}

impl Environment {
    /// The bounds of a submission for it: never above those of the operator.
    pub fn bounds(&self, operator: &Bounds) -> Bounds {
        let max_memory_bytes = operator.max_memory_bytes.min(self.max_memory_bytes);
        let default = Limits {
            memory_bytes: self.memory_bytes.min(max_memory_bytes),
            pids: operator.default.pids.min(self.pids),
            ..operator.default
        };
        Bounds { default, max_memory_bytes, ..*operator }
    }

    /// The same for the engines of Docker. None without an image.
    pub(crate) fn in_docker(&self) -> Option<PythonEnvironment> {
        let image =
            self.docker_image.clone().filter(|_| self.is_python && self.uses.evaluations)?;
        let name = self.profile.name.clone().into_owned();
        Some(PythonEnvironment { name, image, variables: self.variables.clone() })
    }

    /// Limits that are not above those of the environment.
    pub fn within(&self, limits: Limits) -> Limits {
        Limits {
            memory_bytes: limits.memory_bytes.min(self.max_memory_bytes),
            pids: limits.pids.min(self.pids),
            ..limits
        }
    }
}

/// What a submission may name: the default, and the environments.
#[derive(Debug, Clone)]
pub struct Profiles {
    /// The default, which has the operator's bounds.
    pub default: Profile,
    /// All others.
    pub environments: Vec<Environment>,
}

impl Profiles {
    /// The default alone.
    pub fn only(default: Profile) -> Self {
        Self { default, environments: Vec::new() }
    }

    /// The profile of this name. None if there is none.
    pub fn find(&self, name: &str) -> Option<&Profile> {
        let environments = self.environments.iter().map(|environment| &environment.profile);
        std::iter::once(&self.default).chain(environments).find(|profile| profile.name == name)
    }

    /// The environment of this name. None for the default, and if there is none.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.profile.name == name)
    }
}

#[cfg(test)]
mod tests {
    use shared::profile::PYTHON;

    use super::*;

    #[test]
    fn an_environment_has_no_limit_above_the_operators() {
        let environment = Environment {
            profile: Profile { name: "x".into(), ..PYTHON },
            image: "/x".into(),
            digest: String::new(),
            docker_image: None,
            variables: Vec::new(),
            is_python: false,
            executes_files: false,
            memory_bytes: 2 << 30,
            max_memory_bytes: 4 << 30,
            pids: 10,
            warm_sandboxes: 0,
            uses: EnvironmentUses::EVALUATIONS,
        };
        let default = Limits { pids: 64, ..stage_04_docker::PROBE_LIMITS };
        let operator = Bounds {
            default,
            max_timeout_seconds: 1.0,
            max_memory_bytes: 1 << 30,
            max_attempts: 1,
        };
        let bounds = environment.bounds(&operator);
        assert_eq!((bounds.default.memory_bytes, bounds.max_memory_bytes), (1 << 30, 1 << 30));
        assert_eq!(bounds.default.pids, 10);
        let limits = environment.within(Limits { memory_bytes: 8 << 30, ..default });
        assert_eq!((limits.memory_bytes, limits.pids), (4 << 30, 10));
        let profiles = Profiles { default: PYTHON, environments: vec![environment] };
        assert!(profiles.environment("python").is_none() && profiles.find("python").is_some());
        assert!(profiles.find("y").is_none() && profiles.environment("x").is_some());
    }
}
