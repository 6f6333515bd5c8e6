//! The same conversation through every host gives the same answers. The host on Lambda is held to
//! the same snapshot by its own package.

use http::{HeaderMap, HeaderName, HeaderValue};
use shared::http::ServerOptions;
use stage_07_advanced_v2::{ApiRequest, ApiService as _};

use crate::conversation::{Answered, Asked, Client, HttpClient, hold};
use crate::server::{InProcess, Server};

/// No host: the API is called as a function.
impl Client for InProcess {
    async fn ask(&self, asked: Asked) -> Answered {
        let mut request = ApiRequest::new(asked.method, &asked.target).with_body(asked.body);
        for (name, value) in asked.headers {
            let value = HeaderValue::try_from(value).unwrap();
            request.headers.insert(HeaderName::from_static(name), value);
        }
        let response = self.api.handle(request).await;
        let (status, headers): (_, HeaderMap) = (response.status, response.headers);
        Answered { status, headers, body: response.body.collect().await.to_vec() }
    }
}

fn assert_as_agreed(conversation: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("conversation", conversation);
    });
}

#[tokio::test]
async fn a_direct_call() {
    let api = InProcess::start(ServerOptions::default()).await;
    assert_as_agreed(&hold(&api).await);
    api.stop().await;
}

#[tokio::test]
async fn hyper_on_a_socket() {
    let server = Server::open("hyper");
    assert_as_agreed(&hold(&HttpClient::new(&server.url)).await);
}

#[tokio::test]
async fn axum_on_a_socket() {
    let server = Server::open("axum");
    assert_as_agreed(&hold(&HttpClient::new(&server.url)).await);
}

/// The other conversations are held without walls, because that is quick. It makes no difference.
#[tokio::test]
async fn the_default_engine() {
    let server = Server::start(&[]);
    assert_as_agreed(&hold(&HttpClient::new(&server.url)).await);
}
