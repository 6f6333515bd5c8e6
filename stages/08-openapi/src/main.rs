//! Stage 8: the API of stage 7, held to its contract.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Diagnosis, Front, Settings, Stage};
use stage_06_advanced::{Platform, configure};
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{Contract, ContractArgs, DocumentedApi, OpenApiValidatedApi};

// ANCHOR: wiring
struct OpenApi;

impl Stage for OpenApi {
    const NUMBER: u16 = 8;
    const NAME: &'static str = "stage-08-openapi";
    const ISOLATION: &'static str = "runs programs behind the isolation you choose: gVisor's, unless you \
                                 say otherwise";
    const UNSANDBOXED: bool = false;
    type Args = ContractArgs;

    async fn build(settings: &Settings, args: &ContractArgs) -> Result<App, BuildError> {
        Ok(Self::open(settings, args).await?.0)
    }

    async fn open(settings: &Settings, args: &ContractArgs) -> Result<(App, Front), BuildError> {
        let contract = Arc::new(Contract::of_the_platform(&settings.bounds())?);
        let platform = Platform::start(Self::NAME, settings, &args.api.platform).await?;
        let api = RestfulApi::new(&platform, settings.server_options());
        let api = DocumentedApi::new(api, contract.clone());
        let api = OpenApiValidatedApi::verified(api, contract, args.strict_contract, &platform);
        Ok((platform.app(), args.api.server.front(api)))
    }

    async fn doctor(args: &ContractArgs) -> Vec<Diagnosis> {
        args.api.platform.engine.diagnose().await
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(configure(command, std::env::args_os())?)
    }

    fn instead(settings: &Settings, args: &ContractArgs) -> Option<Result<(), BuildError>> {
        args.generate_client(settings)
    }

    fn isolation(args: &ContractArgs) -> (&'static str, bool) {
        args.api.platform.engine.engine.isolation()
    }
}

fn main() -> ExitCode {
    shared::cli::main::<OpenApi>()
}
// ANCHOR_END: wiring
