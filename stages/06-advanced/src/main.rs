//! Stage 6: all wiring is in `Platform`; what is left here is the command line.

use std::process::ExitCode;

use shared::cli::{App, BuildError, Diagnosis, Program, Settings};
use stage_06_advanced::{Platform, PlatformArgs, configure};

// ANCHOR: wiring
struct Advanced;

impl Program for Advanced {
    const NUMBER: u16 = 6;
    const NAME: &'static str = "stage-06-advanced";
    const WALLS: &'static str = "runs programs behind the walls you choose: gVisor's, unless you \
                                 say otherwise";
    const HOST_IS_OPEN: bool = false;
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

    fn walls(args: &PlatformArgs) -> (&'static str, bool) {
        args.engine.engine.walls()
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Advanced>()
}
// ANCHOR_END: wiring
