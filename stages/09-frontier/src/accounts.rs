//! API keys: each client has a key, and each key sees what it has submitted.
//!
//! 1. [`key`]: the text of a key, and the digest that is stored of it;
//! 2. [`record`]: name, scopes and validity of a key; `table` stores it;
//! 3. [`Keys`]: finds the key of a request, and remembers it for a second;
//! 4. [`AccessControl`]: the layer in front of the routes; [`required`] has what each of them needs;
//! 5. [`OwnedQueue`], [`Owners`] and `feed`: what one key sees of everything.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | the database or a backup is stolen | it has digests of 160 random bits, no keys | `a_key_is_stored_nowhere` |
//! | a key is guessed by the time of the answer | the lookup is by the digest of the guess | `every_refusal_looks_the_same` |
//! | a revoked key is used further | a key is looked up again after `CACHE_LIFETIME` | `a_revoked_key_stops_working` |
//! | millions of keys or addresses, to fill the memory | the cache has a size | `the_cache_has_a_size` |

mod access;
mod admin;
mod args;
mod bearer;
pub(crate) mod command;
mod feed;
pub(crate) mod intake;
pub(crate) mod key;
mod keys;
mod layer;
mod owners;
mod queue;
pub(crate) mod record;
mod self_test;
mod setup;
pub(crate) mod table;

pub use access::{Access, required};
pub use admin::Administration;
pub(crate) use args::AccessArgs;
pub use bearer::{Credential, credential, insufficient, unauthorized};
pub(crate) use command::KeysCommand;
pub(crate) use intake::Intake;
pub(crate) use intake::spawn;
pub use key::{ApiKey, KeyDigest, NoRandomness};

pub use keys::Keys;
pub use owners::Owners;
pub use record::{Scope, Scopes};
pub use setup::Accounts;
