//! Stage 6: all wiring is in `Platform`; what is left here is the command line.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::QueueCommand;
use stage_06_advanced::{Platform, PlatformArgs};

// ANCHOR: wiring
struct Advanced;

impl Stage for Advanced {
    const NUMBER: u16 = 6;
    const NAME: &'static str = "stage-06-advanced";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs in the sandbox you choose: gVisor's, unless you say otherwise",
        is_unsandboxed: false,
    };
    type Args = PlatformArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, args: &PlatformArgs) -> Result<App, BuildError> {
        let platform = Platform::start(Self::NAME, settings, args).await?;
        let router = platform.router();
        Ok(platform.app(Arc::new(router)))
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Advanced>()
}
// ANCHOR_END: wiring
