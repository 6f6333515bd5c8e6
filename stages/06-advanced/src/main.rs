//! Stage 6: all wiring is in `Platform`; what is left here is the command line.

use std::process::ExitCode;

use shared::cli::{App, BuildError, Diagnosis, Settings, Stage};
use stage_06_advanced::{Platform, PlatformArgs, configure};

// ANCHOR: wiring
struct Advanced;

impl Stage for Advanced {
    const NUMBER: u16 = 6;
    const NAME: &'static str = "stage-06-advanced";
    const ISOLATION: &'static str = "runs programs behind the isolation you choose: gVisor's, unless you \
                                 say otherwise";
    const UNSANDBOXED: bool = false;
    type Args = PlatformArgs;

    async fn build(settings: &Settings, args: &PlatformArgs) -> Result<App, BuildError> {
        Ok(Platform::start(Self::NAME, settings, args).await?.app())
    }

    async fn doctor(args: &PlatformArgs) -> Vec<Diagnosis> {
        args.engine.diagnose().await
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(configure(command, std::env::args_os())?)
    }

    fn isolation(args: &PlatformArgs) -> (&'static str, bool) {
        args.engine.engine.isolation()
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Advanced>()
}
// ANCHOR_END: wiring
