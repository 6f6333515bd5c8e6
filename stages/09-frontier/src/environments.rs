//! Environments: what a program runs in, built and pinned by the operator, named by the submitter.
//!
//! 1. `definition`: a TOML file says what an environment is made of; four are ready-made;
//! 2. `build` and `build.sh`: `env build` makes a directory of it, from Debian's packages and wheels;
//! 3. `record`: what was built, which is all that a server reads; `command` has the commands;
//! 4. `select`: the member `environment` of a submission; `engine`: its digest in every answer;
//! 5. `docker`: an environment of Python as an image, for the engines of Docker;
//! 6. `list`: all that there are; `routes`: `GET /environments`.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | an environment that does not exist, a path, `../x` | a name is looked up in a list, and never becomes a path | `a_name_is_one_of_the_list` |
//! | a package with a link out of its directory, or a wheel with `../` in a name | the builder sees all file systems read-only but its own directory | `a_build_writes_only_into_its_directory` |
//! | a package whose installation script runs on the host | Debian's packages are unpacked only, of Python's only wheels are taken, modules are compiled with `-S` | `no_code_of_a_package_runs_in_a_build` |
//! | another package under the name of a pinned one | a requirement without a hash is refused, and so is a wheel with another | `a_requirement_needs_a_hash` |
//! | the start-up code of a package at work in another evaluation | one sandbox for each evaluation, and a root that nothing in it can write to | `start_up_code_of_a_package_or_a_program_reaches_no_other_evaluation` |
//! | a program in another language than the probes of the matrix | the isolation of an environment is that of the default | `alone_nothing_escapes_in_an_environment_that_does_not_in_python` |
//! | a package that was exchanged since the last build | a version and the digest of the result can be pinned | `a_result_can_be_pinned` |

mod build;
mod command;
mod definition;
mod docker;
mod engine;
mod list;
mod record;
mod routes;
mod select;

use std::path::PathBuf;

use stage_06_advanced::Environment;

pub use command::EnvCommand;
pub(crate) use engine::WithEnvironments;
pub use routes::environment_routes;
pub use select::Selection;
pub(crate) use select::store_in;

use record::Record;

/// The flags of environments.
#[derive(Debug, Clone, clap::Args)]
pub struct EnvironmentArgs {
    /// Directory of the environments that `env build` has made
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CRUCIBLE_ENVIRONMENTS_DIR",
        default_value = "/var/lib/crucible/environments"
    )]
    pub environments_dir: PathBuf,
    /// Directory of your own descriptions of environments, one NAME.toml each
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CRUCIBLE_ENVIRONMENT_FILES",
        default_value = "/etc/crucible/environments"
    )]
    pub environment_files: PathBuf,
}

impl EnvironmentArgs {
    /// The environments that were built, for the engines.
    pub(crate) fn built(&self) -> Vec<Environment> {
        let dir = &self.environments_dir;
        Record::all(dir).iter().map(|record| record.environment(dir)).collect()
    }
}
