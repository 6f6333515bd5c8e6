//! Stage 8: the contract is a file, and server and clients are checked against it.
//!
//! Read in this order:
//!
//! 1. `openapi.yaml`: every request that is accepted, and every response that is sent;
//! 2. [`Contract`]: that file, loaded and compiled; `document`, `operation` and `schema` are how, and
//!    `overlay` is how a later stage extends it;
//! 3. [`OpenApiValidatedApi`]: any API, checked against a contract in both directions; `request`,
//!    `response` and `stream` check a message, and `violation` is what they find;
//! 4. [`docs_routes`]: the contract over HTTP, and a page that shows it;
//! 5. `client`: a typed client, generated from the contract;
//! 6. `self_test`: the properties of this layer, checked on the live API.
//!
//! What this stage does not protect: what is within the contract. Any client that reaches the server
//! may submit, and a restart loses everything.

mod error;

mod document;
mod overlay;
mod yaml;

mod contract;
mod operation;
mod outline;
mod schema;

mod media;
mod request;
mod response;
mod stream;
mod strict_json;
mod violation;

mod contract_metrics;
mod self_test;
mod validated;

mod docs;

mod args;
mod body;
mod client;

pub use args::ContractArgs;
pub use body::parsed_body;
pub use client::{ClientError, generate_client};
pub use contract::Contract;
pub use docs::docs_routes;
pub use error::{ContractError, OverlayError, SchemaError};
pub use operation::Operation;
pub use validated::OpenApiValidatedApi;
