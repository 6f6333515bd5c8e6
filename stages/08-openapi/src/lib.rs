//! x
pub mod contract;
mod counts;
mod document;
mod documents;
pub mod fault;
mod media;
mod operation;
mod problem;
mod request;
mod response;
mod schema;
mod stream;
mod validated;
pub use contract::*;
pub use documents::*;
pub use validated::*;
