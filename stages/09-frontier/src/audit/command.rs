//! `audit verify` and `audit head`.

use clap::Subcommand;
use shared::cli::{BuildError, Exit};

use super::chain::Head;
use super::table;
use crate::args::StorageArgs;
use crate::store::Beside;

/// The commands of the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no row of the audit log was changed, removed or inserted
    ///
    /// What it cannot find: that the whole log was written anew by a process with access to the
    /// database, or that it removed the newest rows and corrected their number. Give the newest row that you know from
    /// elsewhere with `--head` to find that as well.
    Verify {
        /// A row that the log must have, as the log event `audit head` has it
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Option<Head>,
    },
    /// Print the newest row as NUMBER:HASH, to be stored elsewhere
    Head,
}

impl AuditCommand {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub fn run(self, storage: &StorageArgs) -> Result<Exit, BuildError> {
        let mut database = Beside::open(&storage.path())?;
        match self {
            Self::Head => println!("{}", database.read(table::head)?),
            Self::Verify { head } => match database.read(|rows| table::verify(rows, head))? {
                Ok(verified) => {
                    println!("{} rows, none changed; head {}", verified.rows, verified.head);
                }
                Err(mismatch) => {
                    let error = format!("the audit log was tampered with: {mismatch}");
                    let error = BuildError::new(error);
                    return Ok(error.print(Exit::FAILURE));
                }
            },
        }
        Ok(Exit::SUCCESS)
    }
}
