//! The environments that there are, built or described: what `env list` prints and `GET /environments` shows.

use super::EnvironmentArgs;
use super::definition::{self, Definition};
use super::record::Record;

/// One of them.
pub(super) enum Listed {
    /// The image that set-up builds, and the default.
    Python,
    /// One that was built, and what it is described as now, if it still is.
    Built {
        /// What was built.
        record: Box<Record>,
        /// The description of its name.
        definition: Option<Definition>,
    },
    /// One that was described, and not built. Its description may be wrong.
    Missing {
        /// Its name.
        name: String,
        /// The description, if it can be read.
        definition: Option<Definition>,
    },
}

impl Listed {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Python => definition::DEFAULT,
            Self::Built { record, .. } => &record.name,
            Self::Missing { name, .. } => name,
        }
    }
}

/// All of them, by their names.
pub(super) fn list(args: &EnvironmentArgs) -> Vec<Listed> {
    let records = Record::all(&args.environments_dir);
    let mut names = definition::names(&args.environment_files);
    names.extend(records.iter().map(|record| record.name.clone()));
    names.sort_unstable();
    names.dedup();
    let item = |name: String| {
        if name == definition::DEFAULT {
            return Listed::Python;
        }
        let definition = definition::find(&name, &args.environment_files).ok();
        match records.iter().find(|record| record.name == name) {
            Some(record) => Listed::Built { record: Box::new(record.clone()), definition },
            None => Listed::Missing { name, definition },
        }
    };
    names.into_iter().map(item).collect()
}
