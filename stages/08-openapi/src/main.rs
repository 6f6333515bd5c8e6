//! Stage 8: the API of stage 7, checked against its contract.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::QueueCommand;
use stage_06_advanced::Platform;
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{Contract, ContractArgs, OpenApiValidatedApi, docs_routes};

// ANCHOR: wiring
struct OpenApi;

impl Stage for OpenApi {
    const NUMBER: u16 = 8;
    const NAME: &'static str = "stage-08-openapi";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs in the sandbox you choose: gVisor's, unless you say otherwise",
        is_unsandboxed: false,
    };
    type Args = ContractArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, args: &ContractArgs) -> Result<App, BuildError> {
        let contract = Arc::new(Contract::load(&settings.bounds())?);
        let platform = Platform::start(Self::NAME, settings, &args.api.platform).await?;
        let router = platform.router().merge(docs_routes(contract.clone()));
        let api = RestfulApi::new(&platform, router, settings.server_options());
        let strict = args.strict_contract;
        let api = OpenApiValidatedApi::registered(api, contract, strict, &platform);
        Ok(platform.app(api))
    }
}

fn main() -> ExitCode {
    shared::cli::main::<OpenApi>()
}
// ANCHOR_END: wiring
