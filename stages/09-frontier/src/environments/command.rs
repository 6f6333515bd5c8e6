//! `env build`, `env list` and `env remove`.

use clap::Subcommand;
use shared::cli::{BuildError, Exit, eprint_line};

use super::definition::{self, Definition, DefinitionError, is_name};
use super::list::{self, Listed};
use super::record::Record;
use super::{EnvironmentArgs, build};

/// The commands of environments.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Build an environment from the package registries, as root, and print its digest; a server uses it
    /// from its next start on
    Build {
        /// The name of an environment
        #[arg(value_name = "NAME")]
        name: String,
        /// Leave one that was built of the same description as it is
        #[arg(long)]
        if_missing: bool,
    },
    /// List all environments: name, whether it is built, digest, description
    List,
    /// Remove an environment that was built
    Remove {
        /// The name of an environment
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl EnvCommand {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// When there is no such environment, or it cannot be built or removed.
    pub fn run(self, args: &EnvironmentArgs) -> Result<Exit, BuildError> {
        let dir = &args.environments_dir;
        match self {
            Self::Build { name, if_missing } => {
                let definition = definition::find(&name, &args.environment_files)?;
                let _guard = build::lock(dir)?;
                let found = Record::read(dir, &name)?.filter(|record| {
                    let image = Record::image(dir, &name, &record.digest);
                    if_missing && record.definition == definition && image.is_dir()
                });
                let record = match found {
                    Some(record) => record,
                    None => build::build(&name, &definition, dir)?,
                };
                println!("{name}\t{}", record.digest);
            }
            Self::List => {
                for listed in list::list(args) {
                    println!("{}", line(&listed));
                }
            }
            Self::Remove { name } => {
                if !is_name(&name) {
                    return Err(DefinitionError::Name(name).into());
                }
                let _guard = build::lock(dir)?;
                if !build::remove(dir, &name)? {
                    let error = BuildError::new(format!("{name} was not built"));
                    return Err(error.with_hint("`env list` has those that were"));
                }
                eprint_line("removed");
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// Whether a build would not give the same.
fn is_outdated(record: &Record, definition: &Definition) -> bool {
    record.definition != *definition
}

/// A line of `env list`: name, state, digest and description.
fn line(listed: &Listed) -> String {
    let (state, digest, description) = match listed {
        Listed::Python => ("default", "-", "Python's standard library; built by set-up"),
        Listed::Built { record, definition } => {
            let is_old = definition.as_ref().is_some_and(|found| is_outdated(record, found));
            let state = if is_old { "outdated" } else { "built" };
            (state, record.digest.as_str(), record.definition.description.as_str())
        }
        Listed::Missing { definition, .. } => {
            let description = definition.as_ref().map_or("", |found| found.description.as_str());
            ("missing", "-", description)
        }
    };
    format!("{}\t{state}\t{digest}\t{description}", listed.name())
}
