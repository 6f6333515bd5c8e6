//! The flags of this stage.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use shared::cli::{BuildError, Diagnosis, Isolation, Settings, StageArgs};
use shared::http::HttpServerFn;
use stage_07_advanced_v2::ApiArgs;

use crate::client::{ClientError, LANGUAGE, generate_client};
use crate::contract::Contract;
use crate::error::ContractError;

/// The flags of a platform, its API and its contract.
#[derive(Debug, Clone, clap::Args)]
pub struct ContractArgs {
    /// The platform and its API.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Answer 500 instead of anything that is not in the contract; without this it is sent, logged
    /// and counted
    #[arg(long, global = true, env = "CRUCIBLE_STRICT_CONTRACT")]
    pub strict_contract: bool,
    /// Generate a typed client from the contract in a new directory and exit; the language is python
    #[arg(long, num_args = 2, value_names = ["LANGUAGE", "DIR"])]
    pub generate_client: Option<Vec<OsString>>,
}

impl StageArgs for ContractArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        self.api.doctor().await
    }

    fn isolation(&self) -> Option<Isolation> {
        self.api.isolation()
    }

    fn http_server(&self) -> HttpServerFn {
        self.api.http_server()
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        ApiArgs::configure(command)
    }

    fn run_one_shot(&self, settings: &Settings) -> Option<Result<(), BuildError>> {
        self.client_from(|| Contract::load(&settings.bounds()))
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        self.api.before_serve(settings)
    }
}

impl ContractArgs {
    /// Generates the client that the command line asks for, from the contract of the stage that was called. `None` when
    /// it asks for none.
    ///
    /// # Errors
    ///
    /// [`ClientError`], or when the contract cannot be read.
    pub fn client_from(
        &self,
        contract: impl FnOnce() -> Result<Contract, ContractError>,
    ) -> Option<Result<(), BuildError>> {
        let [language, dir] = self.generate_client.as_deref()? else { return None };
        Some(generate(language, dir.as_ref(), contract))
    }
}

fn generate(
    language: &OsString,
    dir: &Path,
    contract: impl FnOnce() -> Result<Contract, ContractError>,
) -> Result<(), BuildError> {
    if language != LANGUAGE {
        return Err(ClientError::Language.into());
    }
    Ok(generate_client(&contract()?, dir)?)
}
