//! `keys create`, `keys list` and `keys revoke`.

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::cli::{BuildError, Exit, eprint_line};
use uuid::Uuid;

use super::key::{ApiKey, has_key_form};
use super::record::{KeyRecord, Scope, Scopes};
use super::table;
use crate::args::StorageArgs;
use crate::audit::{self, Entry, actions};
use crate::store::{Beside, StoreError};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;

/// The commands of keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, and print it: the only time that it is shown
    Create {
        /// A name for people
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: String,
        /// What the key may do (can be repeated)
        #[arg(long, required = true, value_enum, value_name = "SCOPE")]
        scope: Vec<Scope>,
        /// Days after which the key stops to work [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
    },
    /// List all keys: id, name, scopes, state, when they were made and used last
    List,
    /// Make a key stop to work, within a second
    Revoke {
        /// The id of the key, from `keys list`
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl KeysCommand {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// When the database cannot be used.
    pub fn run(self, storage: &StorageArgs) -> Result<Exit, BuildError> {
        if storage.storage == crate::StorageKind::Memory {
            let error = BuildError::new("keys are in the database, and --storage memory has none");
            return Err(error.with_hint("leave --storage out"));
        }
        let mut database = Beside::open(&storage.path())?;
        match self {
            Self::Create { name, scope, expires_days } => {
                let key = ApiKey::generate()?;
                let record = new_record(name, scope.into_iter().collect(), expires_days);
                database.write(|rows| create(rows, &record, &key))?;
                println!("{}", key.reveal());
                eprint_line(&format!(
                    "key {} ({}), scopes: {}. It is not shown again.",
                    record.id,
                    record.name,
                    record.scopes.names()
                ));
            }
            Self::List => {
                let now = Timestamp::now();
                for key in database.read(table::list)? {
                    println!("{}", line(&key, now));
                }
            }
            Self::Revoke { id } => return revoke(&mut database, &id),
        }
        Ok(Exit::SUCCESS)
    }
}

/// A record of a new key.
pub(crate) fn new_record(name: String, scopes: Scopes, expires_days: Option<u32>) -> KeyRecord {
    let now = Timestamp::now();
    let lifetime = expires_days.map(|days| SignedDuration::from_hours(i64::from(days) * 24));
    KeyRecord {
        id: Uuid::now_v7().to_string(),
        name,
        scopes,
        created_at: now,
        expires_at: lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()),
        revoked_at: None,
        last_used_at: None,
    }
}

/// Stores a key, with its row in the audit log.
pub(crate) fn create(
    database: &crate::store::Connection,
    record: &KeyRecord,
    key: &ApiKey,
) -> Result<(), StoreError> {
    table::insert(database, record, &key.digest())?;
    let detail = json!({
        "name": record.name,
        "scopes": record.scopes.names(),
        "expires_at": record.expires_at,
    });
    audit::table::append(database, &Entry::of_command(actions::KEY_CREATE, &record.id, &detail))?;
    Ok(())
}

fn revoke(database: &mut Beside, id: &str) -> Result<Exit, BuildError> {
    if has_key_form(id) {
        let error = BuildError::new("this is a key, and `keys revoke` takes the id of one");
        return Err(error.with_hint("`keys list` has the ids"));
    }
    let now = Timestamp::now();
    let revoked = database.write(|rows| {
        let Some(key) = table::get(rows, id)? else { return Ok(None) };
        let is_new = table::revoke(rows, id, now)?;
        if is_new {
            let entry = Entry::of_command(actions::KEY_REVOKE, id, &json!({ "name": key.name }));
            audit::table::append(rows, &entry)?;
        }
        Ok(Some(is_new))
    })?;
    match revoked {
        Some(true) => eprint_line("revoked"),
        Some(false) => eprint_line("it was revoked before"),
        None => {
            let error = BuildError::new("there is no key with this id");
            return Err(error.with_hint("`keys list` has the ids"));
        }
    }
    Ok(Exit::SUCCESS)
}

fn line(key: &KeyRecord, now: Timestamp) -> String {
    let time = |time: Option<Timestamp>| match time {
        Some(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => "-".to_owned(),
    };
    [
        key.id.clone(),
        key.state(now).to_owned(),
        key.scopes.names(),
        format!("created={}", time(Some(key.created_at))),
        format!("expires={}", time(key.expires_at)),
        format!("used={}", time(key.last_used_at)),
        key.name.clone(),
    ]
    .join("\t")
}

/// A name without control characters: it is printed to terminals.
fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=MAX_NAME).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("give 1 to {MAX_NAME} characters, and no control characters"))
}
