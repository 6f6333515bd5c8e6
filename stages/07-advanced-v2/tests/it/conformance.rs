//! The same conversation gets the same answers through every adapter. The package of the adapter for
//! Lambda compares its own with the same snapshot.

use http::Request;
use shared::http::ServerOptions;

use crate::conversation::{Client, ClientRequest, ClientResponse, HttpClient, record};
use crate::in_process::{InProcess, body};
use crate::unsandboxed;

/// No adapter: the endpoint is called as a function.
impl Client for InProcess {
    async fn send(&self, request: ClientRequest) -> ClientResponse {
        let ClientRequest { method, target, headers, body: sent } = request;
        let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = self.send(request, sent).await;
        let (status, headers) = (response.status(), response.headers().clone());
        ClientResponse { status, headers, body: body(response).await.to_vec() }
    }
}

fn assert_as_recorded(conversation: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("conversation", conversation);
    });
}

#[tokio::test]
async fn a_direct_call() {
    let api = InProcess::start(ServerOptions::default()).await;
    assert_as_recorded(&record(&api).await);
    api.stop().await;
}

#[tokio::test]
async fn hyper_on_a_socket() {
    let server = unsandboxed("hyper");
    assert_as_recorded(&record(&HttpClient::new(server.url())).await);
}

#[tokio::test]
async fn axum_on_a_socket() {
    let server = unsandboxed("axum");
    assert_as_recorded(&record(&HttpClient::new(server.url())).await);
}

/// The other conversations run without isolation, because that is quick. It makes no difference.
#[tokio::test]
async fn the_default_engine() {
    let server = harness::server!();
    assert_as_recorded(&record(&HttpClient::new(server.url())).await);
}
