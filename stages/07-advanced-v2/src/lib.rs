//! Stage 7: the API is a component of its own, which depends on no web server.
//!
//! Read in this order:
//!
//! 1. [`shared::http`]: the types of a request and a response, the trait
//!    [`ApiService`](shared::http::ApiService), and the [`Endpoint`](shared::http::Endpoint), through
//!    which every request passes;
//! 2. [`RestfulApi`]: the routes of a platform behind that trait, and `self_test`, which verifies it;
//! 3. [`WebServer`]: the web servers that can serve it. hyper is [`stage_02_queue::serve`],
//!    [`axum_router`] is axum; a third adapter, for AWS Lambda, is a package of its own.
//!
//! An adapter converts nothing but the body: it passes an `http::Request` to the endpoint, with
//! whatever it knows of the connection in the request's extensions, and returns an `http::Response`.
//! What is left to an adapter is what only the connection shows:
//!
//! | attack | what the adapter does | test |
//! |---|---|---|
//! | half a header, then silence | a timeout | `an_adapter_enforces_limits_and_timeouts` |
//! | thousands of connections | a limit | `one_connection_too_many_waits` |
//! | a reader of events that has disconnected | drops the stream, and with it the reader's slot | `a_reader_that_disconnects_frees_its_slot` |
//!
//! The rest is checked by the endpoint, whatever calls it: `without_an_adapter_the_checks_are_the_same`.
//!
//! What this stage does not protect: a client has to guess the shapes of what it sends and receives.

mod restful;
mod self_test;

mod axum_adapter;
mod web_server;

pub use axum_adapter::{axum_router, serve_axum};
pub use restful::RestfulApi;
pub use web_server::{ApiArgs, WebServer};
