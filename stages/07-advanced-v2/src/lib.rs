//! Stage 7: the API is a component of its own, which knows no web server.
//!
//! Read in this order:
//!
//! 1. [`ApiRequest`] and [`ApiResponse`]: what is asked and answered, as plain values;
//! 2. [`ApiService`]: the one trait of every API, whatever stands below or before it;
//! 3. [`RestfulApi`]: the routes of a platform behind that trait, and `suite`, which verifies it;
//! 4. [`hyper_service`] and [`axum_router`]: two web servers that host any such API, and
//!    [`ServerChoice`], which chooses one. A third host, AWS Lambda, is a package of its own.
//!
//! The types here are those of the `http` crate (methods, statuses, headers), which is a vocabulary
//! and reads no socket. No type of a web framework is in them.
//!
//! What this stage does not protect: a client has to guess the shapes of what it sends and gets.

mod request;
mod response;

mod service;

mod restful;
mod suite;

mod axum_host;
mod choice;
mod hyper_host;

pub use axum_host::{axum_router, serve_axum};
pub use choice::{ApiArgs, ServerChoice};
pub use hyper_host::hyper_service;
pub use request::ApiRequest;
pub use response::{ApiBody, ApiResponse};
pub use restful::RestfulApi;
pub use service::ApiService;
