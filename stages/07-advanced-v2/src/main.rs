//! Stage 7: the platform of stage 6, an API around it, and a web server around that.

use std::process::ExitCode;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::QueueCommand;
use stage_06_advanced::Platform;
use stage_07_advanced_v2::{ApiArgs, RestfulApi};

// ANCHOR: wiring
struct AdvancedV2;

impl Stage for AdvancedV2 {
    const NUMBER: u16 = 7;
    const NAME: &'static str = "stage-07-advanced-v2";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs in the sandbox you choose: gVisor's, unless you say otherwise",
        is_unsandboxed: false,
    };
    type Args = ApiArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, args: &ApiArgs) -> Result<App, BuildError> {
        let platform = Platform::start(Self::NAME, settings, &args.platform).await?;
        let api = RestfulApi::new(&platform, platform.router(), settings.server_options());
        Ok(platform.app(api))
    }
}

fn main() -> ExitCode {
    shared::cli::main::<AdvancedV2>()
}
// ANCHOR_END: wiring
