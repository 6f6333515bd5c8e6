//! The settings of this stage.

use std::ffi::OsString;
use std::path::Path;

use shared::cli::{BuildError, Settings};
use stage_07_advanced_v2::ApiArgs;

use crate::client::{ClientError, LANGUAGE, generate_client};
use crate::contract::Contract;

/// What can be set about a platform, its API and its contract.
#[derive(Debug, Clone, clap::Args)]
pub struct ContractArgs {
    /// The platform and its API.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Answer 500 instead of anything that is not in the contract; without this it is sent, logged
    /// and counted
    #[arg(long, global = true, env = "CRUCIBLE_STRICT_CONTRACT")]
    pub strict_contract: bool,
    /// Make a typed client out of the contract, in a new folder, and do nothing else; the language
    /// is python
    #[arg(long, num_args = 2, value_names = ["LANGUAGE", "FOLDER"])]
    pub generate_client: Option<Vec<OsString>>,
}

impl ContractArgs {
    /// Makes a client if one was asked for.
    pub fn generate_client(&self, settings: &Settings) -> Option<Result<(), BuildError>> {
        let [language, folder] = self.generate_client.as_deref()? else { return None };
        if language != LANGUAGE {
            return Some(Err(ClientError::Language.into()));
        }
        let made = Contract::of_the_platform(&settings.bounds())
            .map_err(BuildError::from)
            .and_then(|contract| Ok(generate_client(&contract, Path::new(folder))?));
        Some(made)
    }
}
