//! `env build`, `env list` and `env remove`.

use clap::Subcommand;
use shared::cli::{BuildError, Exit, eprint_line};

use super::definition::{self, DefinitionError, is_name};
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
                for (name, state, digest, description) in list(args)? {
                    println!("{name}\t{state}\t{digest}\t{description}");
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

/// Name, state, digest and description of each.
fn list(args: &EnvironmentArgs) -> Result<Vec<(String, &'static str, String, String)>, BuildError> {
    let mut names = definition::names(&args.environment_files);
    names.extend(Record::all(&args.environments_dir).into_iter().map(|record| record.name));
    names.sort_unstable();
    names.dedup();
    let mut rows = Vec::new();
    for name in names {
        if name == "python" {
            let description = "Python's standard library; built by set-up".to_owned();
            rows.push((name, "default", "-".to_owned(), description));
            continue;
        }
        let record = Record::read(&args.environments_dir, &name)?;
        let definition = definition::find(&name, &args.environment_files).ok();
        let state = match (&record, &definition) {
            (Some(record), Some(definition)) if record.definition != *definition => "outdated",
            (Some(_), _) => "built",
            (None, _) => "missing",
        };
        let digest = record.as_ref().map_or_else(|| "-".to_owned(), |record| record.digest.clone());
        let description = record.map(|record| record.definition).or(definition);
        let description = description.map_or_else(String::new, |found| found.description);
        rows.push((name, state, digest, description));
    }
    Ok(rows)
}
