//! Stage 9: the checked API of stage 8 on components that keep what they have accepted.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_06_advanced::Platform;
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{OpenApiValidatedApi, docs_routes};
use stage_09_frontier::{
    Accounts, Frontier, FrontierArgs, FrontierCommand, Selection, WithOptions, other_routes,
};

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
        let mut frontier = Box::pin(Frontier::build(settings, args)).await?;
        let mut accounts = Accounts::start(settings, &args.access, &mut frontier).await?;
        let options = args.platform_options(Self::NAME, settings);
        let contract = Arc::new(stage_09_frontier::contract(&options.bounds, args)?);
        let selection = Selection { bounds: options.bounds, ..frontier.selection };
        let batches = accounts.batches(selection.clone());
        let platform = Platform::new(frontier.components, options);
        let router = platform
            .router()
            .merge(batches.start(&platform).await?.routes())
            .merge(other_routes(settings, args, &mut accounts, (&selection, &platform)).await?)
            .merge(docs_routes(contract.clone()));
        let api = RestfulApi::new(&platform, router, settings.server_options());
        let strict = args.contract.strict_contract;
        let api = WithOptions::new(api, selection);
        let api = OpenApiValidatedApi::registered(api, contract, strict, &platform);
        accounts.register(&platform);
        accounts.announce(&args.storage);
        Ok(platform.app(accounts.protect(api, &args.access)))
    }
}

fn main() -> ExitCode {
    stage_09_frontier::read_failpoints();
    shared::cli::main::<FrontierStage>()
}
// ANCHOR_END: wiring
