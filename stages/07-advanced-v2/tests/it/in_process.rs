//! The platform and its API without a server, constructed as the binary does it.

use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use shared::Evaluations as _;
use shared::cli::Settings;
use shared::http::{Endpoint, Response, ServerOptions};
use stage_06_advanced::Platform;
use stage_07_advanced_v2::{ApiArgs, RestfulApi};
use tokio_util::sync::CancellationToken;

use crate::UNSANDBOXED;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    args: ApiArgs,
}

pub(crate) struct InProcess {
    pub(crate) api: Arc<RestfulApi>,
    pub(crate) endpoint: Arc<Endpoint>,
    platform: Arc<Platform>,
}

impl InProcess {
    pub(crate) async fn start(options: ServerOptions) -> Self {
        let Arguments { settings, args } =
            Arguments::parse_from([&["stage-07-advanced-v2"], &UNSANDBOXED[..]].concat());
        let stage = "stage-07-advanced-v2";
        let platform = Platform::start(stage, &settings, &args.platform).await.unwrap();
        let api = RestfulApi::new(&platform, platform.router(), options.clone());
        let endpoint = Arc::new(Endpoint::new(api.clone(), options, CancellationToken::new()));
        Self { api, endpoint, platform }
    }

    /// Passes a request to the endpoint, as an adapter does.
    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Response {
        self.endpoint.answer(request.body(Full::new(body.into())).unwrap()).await
    }

    pub(crate) async fn stop(self) {
        let now = CancellationToken::new();
        now.cancel();
        self.platform.shutdown(now).await;
    }
}

pub(crate) async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}
