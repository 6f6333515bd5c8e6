//! Stage 9: the checked API of stage 8 on components that keep what they have accepted.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_06_advanced::Platform;
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{Contract, OpenApiValidatedApi, docs_routes};
use stage_09_frontier::{Frontier, FrontierArgs, FrontierCommand, STORAGE_OVERLAY};

// ANCHOR: wiring
struct FrontierStage;

impl Stage for FrontierStage {
    const NUMBER: u16 = 9;
    const NAME: &'static str = "stage-09-frontier";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs in the sandbox you choose: gVisor's, unless you say otherwise",
        is_unsandboxed: false,
    };
    type Args = FrontierArgs;
    type Command = FrontierCommand;

    async fn build(settings: &Settings, args: &FrontierArgs) -> Result<App, BuildError> {
        let Frontier { components, .. } = Frontier::build(settings, args).await?;
        let contract = Contract::load(&settings.bounds())?;
        let contract = Arc::new(contract.with_overlay(STORAGE_OVERLAY)?);
        let options = args.platform_options(Self::NAME, settings);
        let platform = Platform::new(components, options);
        let router = platform.router().merge(docs_routes(contract.clone()));
        let api = RestfulApi::new(&platform, router, settings.server_options());
        let strict = args.contract.strict_contract;
        let api = OpenApiValidatedApi::registered(api, contract, strict, &platform);
        Ok(platform.app(api))
    }
}

fn main() -> ExitCode {
    stage_09_frontier::read_failpoints();
    shared::cli::main::<FrontierStage>()
}
// ANCHOR_END: wiring
