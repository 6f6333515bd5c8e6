//! Stage 7: the platform of stage 6, an API round it, and a web server round that.

use std::process::ExitCode;

use shared::cli::{App, BuildError, Diagnosis, Front, Settings, Stage};
use stage_06_advanced::{Platform, configure};
use stage_07_advanced_v2::{ApiArgs, RestfulApi};

// ANCHOR: wiring
struct AdvancedV2;

impl Stage for AdvancedV2 {
    const NUMBER: u16 = 7;
    const NAME: &'static str = "stage-07-advanced-v2";
    const ISOLATION: &'static str = "runs programs behind the isolation you choose: gVisor's, unless you \
                                 say otherwise";
    const UNSANDBOXED: bool = false;
    type Args = ApiArgs;

    async fn build(settings: &Settings, args: &ApiArgs) -> Result<App, BuildError> {
        Ok(Self::open(settings, args).await?.0)
    }

    async fn open(settings: &Settings, args: &ApiArgs) -> Result<(App, Front), BuildError> {
        let platform = Platform::start(Self::NAME, settings, &args.platform).await?;
        let api = RestfulApi::new(&platform, settings.server_options());
        let front = args.server.front(api);
        Ok((platform.app(), front))
    }

    async fn doctor(args: &ApiArgs) -> Vec<Diagnosis> {
        args.platform.engine.diagnose().await
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(configure(command, std::env::args_os())?)
    }

    fn isolation(args: &ApiArgs) -> (&'static str, bool) {
        args.platform.engine.engine.isolation()
    }
}

fn main() -> ExitCode {
    shared::cli::main::<AdvancedV2>()
}
// ANCHOR_END: wiring
