//! The audit log: who did what, and when, in a chain of hashes.
//!
//! Each row has the hash of the row before it, so that a row that was changed, removed or inserted
//! breaks the chain at its place. [`chain`] has the rules, `table` the rows, and
//! `audit verify` reads all of them.
//!
//! What a row has: the time, the key, the address, the id of the request, an action, its target, and
//! details such as the hash of a program. What it never has: the text of a program, its input or
//! output, and a key.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a row is changed | its hash is over all of its fields | `a_changed_row_is_found` |
//! | a row is removed or inserted, its numbers adjusted | each hash is over the one before it | `a_removed_or_inserted_row_is_found` |
//! | two fields are shifted into each other | each field is hashed with its length | `fields_cannot_be_shifted` |
//! | the newest rows are removed | the number of rows is kept beside them, and the head can be compared with one from the log | `removed_newest_rows_are_found_by_the_counter` |
//!
//! What it does not protect: an attacker who can write to the database can make a whole new chain,
//! counter and all: the hashes need no secret. Only a head that was copied elsewhere finds that. The
//! server therefore logs its head at the start and every hour (`audit head`), and
//! `audit verify --head` compares.

mod chain;
mod command;
mod log;
mod page;
mod self_test;
pub(crate) mod table;

pub use chain::Entry as AuditEntry;
pub(crate) use chain::Entry;
pub(crate) use command::AuditCommand;
pub use log::AuditLog;
pub(crate) use log::actions;
pub(crate) use log::of_submission;
pub(crate) use page::{AuditRow, rows_before};
