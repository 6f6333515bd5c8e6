//! Stage 10: the frontier of stage 9, whose parts speak by events.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_06_advanced::Platform;
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{OpenApiValidatedApi, docs_routes};
use stage_09_frontier::{Accounts, Selection, WithOptions, other_routes};
use stage_10_frontier_events::{
    Below, EventsArgs, EventsCommand, Fleet, Parts, WEB, contract, fleet_routes, required,
};

// ANCHOR: wiring
struct EventsStage;

impl Stage for EventsStage {
    const NUMBER: u16 = 10;
    const NAME: &'static str = "stage-10-frontier-events";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs in the sandbox you choose: gVisor's, unless you say otherwise",
        is_unsandboxed: false,
    };
    type Args = EventsArgs;
    type Command = EventsCommand;

    async fn build(settings: &Settings, args: &EventsArgs) -> Result<App, BuildError> {
        let below = &args.below();
        let fleet = Fleet::open(settings, args).await?;
        let mut built = Box::pin(Below::build(settings, below, fleet.as_ref())).await?;
        let mut accounts = Accounts::start(settings, &below.access, &mut built.frontier).await?;
        let parts = Parts::start(&built, &mut accounts, &args.events).await?;
        let options = below.platform_options(Self::NAME, settings);
        let contract = Arc::new(contract(&options.bounds, args)?);
        let selection = Selection { bounds: options.bounds, ..built.frontier.selection };
        let platform = Platform::new(built.frontier.components, options);
        let router = platform
            .router()
            .merge(accounts.batches(selection.clone()).start(&platform).await?.routes())
            .merge(
                other_routes(settings, below, &mut accounts, (&selection, &platform), WEB).await?,
            )
            .merge(fleet_routes(fleet, &platform, selection.bounds).merge(parts.routes()))
            .merge(docs_routes(contract.clone()));
        let api = RestfulApi::new(&platform, router, settings.server_options());
        let (api, strict) = (WithOptions::new(api, selection), below.contract.strict_contract);
        let api = OpenApiValidatedApi::registered(api, contract, strict, &platform);
        accounts.register(&platform);
        parts.register(&platform);
        accounts.announce(&below.storage);
        Ok(platform.app(accounts.protect_by(api, &below.access, required)))
    }
}

fn main() -> ExitCode {
    stage_09_frontier::read_failpoints();
    shared::cli::main::<EventsStage>()
}
// ANCHOR_END: wiring
