//! `env build`, `env list` and `env remove`.

use std::path::Path;

use clap::Subcommand;
use shared::cli::{BuildError, Exit, eprint_line};

use super::definition::{self, Definition, DefinitionError, is_name};
use super::list::{self, Listed};
use super::record::Record;
use super::{EnvironmentArgs, build, docker};

/// The commands of environments.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Build an environment from the package registries, as root, and print its digest; a server uses it
    /// from its next start on. If Docker listens, one of Python becomes an image for its engines as well
    Build {
        /// The name of an environment
        #[arg(value_name = "NAME")]
        name: String,
        /// Leave one that was built of the same description by the same builder as it is
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
    pub fn run(self, args: &EnvironmentArgs, docker_host: &str) -> Result<Exit, BuildError> {
        let dir = &args.environments_dir;
        match self {
            Self::Build { name, if_missing } => {
                let definition = definition::find(&name, &args.environment_files)?;
                let _guard = build::lock(dir)?;
                let old = Record::read(dir, &name)?;
                let old_image = old.as_ref().and_then(|record| record.docker_image.clone());
                let found = old.filter(|record| {
                    let image = Record::image(dir, &name, &record.digest);
                    if_missing && !is_outdated(record, &definition) && image.is_dir()
                });
                let record = match found {
                    Some(record) => record,
                    None => build::build(&name, &definition, dir)?,
                };
                let record = in_docker(record, old_image, dir, docker_host)?;
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
                let record = Record::read(dir, &name).ok().flatten();
                if let Some(image) = record.and_then(|record| record.docker_image) {
                    docker::remove(docker_host, &image);
                }
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

/// Whether a build would not, or perhaps not, give the same result.
fn is_outdated(record: &Record, definition: &Definition) -> bool {
    record.definition != *definition || record.builder != build::builder()
}

/// Makes the image of an environment of Python, if Docker listens and has none; removes the image of the files that
/// this replaces.
fn in_docker(
    mut record: Record,
    old_image: Option<String>,
    dir: &Path,
    host: &str,
) -> Result<Record, BuildError> {
    if !docker::listens(host) {
        return Ok(record);
    }
    let image = docker::image_name(&record.name, &record.digest);
    if let Some(old_image) = old_image.filter(|old_image| *old_image != image) {
        docker::remove(host, &old_image);
    }
    if record.definition.is_python() {
        if !docker::has(host, &image) {
            docker::import(host, &Record::image(dir, &record.name, &record.digest), &image)?;
        }
        record.docker_image = Some(image);
        record.write(dir)?;
    }
    Ok(record)
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
