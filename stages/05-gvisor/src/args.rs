//! The options of this stage: those of Docker, and another doctor.

use std::sync::Arc;

use shared::cli::{Diagnosis, StageArgs};
use shared::http::HttpServerFn;
use stage_04_docker::DockerArgs;

use crate::doctor::diagnose;

/// Which Docker, and which image.
#[derive(Debug, Clone, clap::Args)]
pub struct GVisorArgs {
    /// The options of the container engine.
    #[command(flatten)]
    pub docker: DockerArgs,
}

impl StageArgs for GVisorArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        diagnose(&self.docker).await
    }

    fn http_server(&self) -> HttpServerFn {
        Arc::new(stage_02_queue::serve)
    }
}
