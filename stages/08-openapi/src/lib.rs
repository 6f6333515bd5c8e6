//! Stage 8: the contract is a file, and the server holds itself and its clients to it.
//!
//! Read in this order:
//!
//! 1. `openapi.yaml`: everything that can be asked, and everything that is answered;
//! 2. [`Contract`]: that file, loaded and compiled; `document`, `operation` and `schema` are how;
//! 3. [`OpenApiValidatedApi`]: any API, held to a contract in both directions; `request`,
//!    `response` and `stream` say what is wrong with a message, and `violation` how that is told;
//! 4. [`DocumentedApi`]: the contract over HTTP, and a page that shows it;
//! 5. `client`: a typed client, made from the contract;
//! 6. `suite`: what this layer promises, checked on the live API.
//!
//! What this stage does not protect: what is within the contract. Anybody who can reach the server
//! may submit, and a restart loses everything.

mod contract;
mod document;
mod operation;
mod schema;

mod media;
mod request;
mod response;
mod stream;
mod violation;

mod counts;
mod problem;
mod suite;
mod validated;

mod documents;

mod args;
mod client;

pub use args::ContractArgs;
pub use client::{ClientError, generate_client};
pub use contract::{Contract, ContractError};
pub use documents::{DocumentedApi, PATHS};
pub use operation::Operation;
pub use schema::BadSchema;
pub use validated::OpenApiValidatedApi;
