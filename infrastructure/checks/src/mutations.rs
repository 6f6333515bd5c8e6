//! Changes that each break one property of the stack, and which of them are applied together.
//!
//! A run of `terraform test` for each of about ninety changes would take minutes. So they are applied in [`BATCHES`]
//! groups: each change is in [`WEIGHT`] of them, and no two changes of one module are in the same ones. A property has to
//! fail in exactly the batches of its change. If another change of the module broke it as well, it would fail in
//! that one's batches too. A module's tests see nothing but this module, so the modules share the combinations.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::stack::Failures;
use crate::tools::infrastructure;

/// How often the tests run.
pub const BATCHES: u32 = 7;
/// In how many of the batches each change is: three of seven can be chosen in 35 ways, so that a module may have as many.
const WEIGHT: u32 = 3;

/// A change that breaks a property.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutation {
    /// Which property: see [`Failures`].
    #[serde(skip)]
    pub property: String,
    /// The file, from `infrastructure/terraform`.
    pub file: String,
    /// A text that it has once.
    pub find: String,
    /// What is there instead.
    pub replace: String,
    /// The batches that the change is in, as bits.
    #[serde(skip)]
    code: u32,
}

/// The changes of `tests/mutations.toml`.
///
/// # Errors
///
/// When a module has more of them than there are combinations.
pub fn mutations() -> Result<Vec<Mutation>> {
    let text = std::fs::read_to_string(infrastructure().join("terraform/tests/mutations.toml"))?;
    let read: BTreeMap<String, Mutation> = toml::from_str(&text)?;
    let mut codes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut all = Vec::new();
    for (property, mutation) in read {
        let module = mutation.file.split('/').nth(1).context("a module's file")?.to_owned();
        let free = codes.entry(module.clone()).or_insert_with(combinations);
        let code = free
            .pop()
            .with_context(|| format!("{module}: more changes than combinations of batches"))?;
        all.push(Mutation { property, code, ..mutation });
    }
    ensure!(!all.is_empty(), "there are no changes");
    Ok(all)
}

/// The changes of one batch.
pub fn of_batch(all: &[Mutation], batch: u32) -> Vec<&Mutation> {
    all.iter().filter(|mutation| mutation.code & (1 << batch) != 0).collect()
}

/// What has to fail in one batch.
pub fn expected(all: &[Mutation], batch: u32) -> Failures {
    of_batch(all, batch).into_iter().map(|mutation| mutation.property.clone()).collect()
}

/// All numbers of [`BATCHES`] bits of which [`WEIGHT`] are set.
fn combinations() -> Vec<u32> {
    (0..1 << BATCHES).filter(|code: &u32| code.count_ones() == WEIGHT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_is_in_all_batches_of_another() {
        let all = combinations();
        assert_eq!(all.len(), 35);
        for one in &all {
            assert!(all.iter().all(|other| one == other || one & other != *one));
        }
    }
}
