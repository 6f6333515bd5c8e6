//! What an adapter has to do by itself: streams arrive piece by piece, a reader that disconnects frees
//! its slot, and the shutdown is orderly.

use std::sync::Arc;
use std::time::Duration;

use harness::{Method, Server, eventually_some};
use shared::http::{Endpoint, ServerOptions};
use stage_07_advanced_v2::{ApiArgs, axum_router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::in_process::InProcess;
use crate::{WEB_SERVERS, unsandboxed};

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The length is a header of the connection, so the conversation does not contain it.
#[tokio::test]
async fn head_has_the_length_of_the_answer_to_get() {
    for name in WEB_SERVERS {
        let server = unsandboxed(name);
        let client = server.client();
        for path in ["/health", "/", "/nowhere"] {
            let request = |method| client.request(method, path).header("x-request-id", "r-1");
            let head = client.send(request(Method::HEAD)).await;
            let get = client.send(request(Method::GET)).await;
            assert!(head.body.is_empty());
            assert_eq!(head.header("content-length"), get.body.len().to_string(), "{name}: {path}");
        }
    }
}

async fn open_streams(server: &Server) -> String {
    let metrics = server.client().get("/metrics").await.text();
    let value = |line: &str| Some(line.strip_prefix("crucible_event_streams_open ")?.to_owned());
    metrics.lines().find_map(value).unwrap()
}

#[tokio::test]
async fn a_reader_that_disconnects_frees_its_slot() {
    for name in WEB_SERVERS {
        let server = unsandboxed(name);
        let id = server.client().submit_code("import time; time.sleep(60)").await;
        let mut stream = server.client().events(&id).await;
        // It has events while the program runs: they arrive one by one.
        stream.until("evaluation.started").await;
        assert_eq!(open_streams(&server).await, "1", "{name}");
        drop(stream);
        let what = format!("{name} notices that the reader has disconnected");
        let closed = async || (open_streams(&server).await == "0").then_some(());
        eventually_some(&what, TEST_TIMEOUT, closed).await;
    }
}

#[tokio::test]
async fn running_programs_are_cancelled_and_readers_notified_before_the_server_ends() {
    for name in WEB_SERVERS {
        let server = unsandboxed(name);
        let client = server.client();
        let id = client.submit_code("import time; time.sleep(60)").await;
        let mut stream = client.events(&id).await;
        stream.until("evaluation.started").await;
        let feed = client.all_events(None).await;
        let exit_code = tokio::task::spawn_blocking(move || server.stop());
        stream.until("evaluation.cancelled").await;
        // This stream has no end of its own.
        feed.rest().await;
        assert_eq!(exit_code.await.unwrap(), Some(0), "{name}");
    }
}

/// Another application can serve the API below a path of its own.
#[tokio::test]
async fn the_router_can_be_nested_in_an_application() {
    let options = ServerOptions::default();
    let api = InProcess::start(options.clone()).await;
    let shutdown = CancellationToken::new();
    let endpoint = Endpoint::new(api.api.clone(), options.clone(), shutdown.clone());
    let application = axum::Router::new()
        .route("/own", axum::routing::get(async || "own"))
        .nest_service("/crucible", axum_router(Arc::new(endpoint)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = harness::Client::new(format!("http://{}", listener.local_addr().unwrap()));
    let service = hyper_util::service::TowerToHyperService::new(application);
    let serving = {
        let shutdown = shutdown.clone();
        tokio::spawn(
            async move { stage_02_queue::accept(listener, &options, shutdown, service).await },
        )
    };
    assert_eq!(client.get("/own").await.text(), "own");
    assert_eq!(client.get("/crucible/health").await.text(), r#"{"status":"alive"}"#);
    shutdown.cancel();
    serving.await.unwrap();
    api.stop().await;
}

#[test]
fn the_web_server_is_part_of_the_arguments() {
    use clap::Args as _;
    let command = ApiArgs::augment_args(clap::Command::new("stage"));
    command.debug_assert();
}
