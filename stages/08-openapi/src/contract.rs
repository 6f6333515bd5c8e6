//! The contract, loaded: which operations there are, and what each of them takes and answers.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use shared::Bounds;

use crate::document::{Place, with_bounds};
use crate::operation::Operation;
use crate::schema::{BadSchema, Schemas};

/// The contract of this platform, as it stands in `openapi.yaml`.
const OPENAPI: &str = include_str!("../openapi.yaml");
/// The methods that a path can have.
const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

/// Why a contract cannot be used. `pointer` is the place in it.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// It is not YAML.
    #[error("the contract is not YAML: {0}")]
    Yaml(String),
    /// It is not of a version whose schemas are JSON Schema.
    #[error("the contract must be OpenAPI 3.1")]
    Version,
    /// Something that every contract has is not there.
    #[error("the contract has no `{what}` at {pointer}")]
    Missing {
        /// Where.
        pointer: String,
        /// What.
        what: &'static str,
    },
    /// It asks for something that is not checked here.
    #[error("the contract has {what} at {pointer}, which is not checked here")]
    Beyond {
        /// Where.
        pointer: String,
        /// What.
        what: String,
    },
    /// Two paths match the same requests, or one is not written as a path.
    #[error("the path {path} cannot be told from the others: {reason}")]
    Path {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// One of its schemas cannot be compiled.
    #[error(transparent)]
    Schema(#[from] BadSchema),
}

/// A contract that messages can be checked against.
pub struct Contract {
    /// The text, with the bounds that are in force.
    pub(crate) yaml: Bytes,
    /// The same as JSON.
    pub(crate) json: Bytes,
    operations: Vec<Operation>,
    /// For each path, the operations on it by their place in the list.
    paths: matchit::Router<Vec<usize>>,
}

/// What the contract has for a method and a path.
pub(crate) enum Lookup<'a> {
    /// No such path.
    Nowhere,
    /// The path, but only with these methods.
    Only(Vec<Method>),
    /// This operation, and the parts of the path that stand for its parameters.
    Found(&'a Operation, Vec<(String, String)>),
}

impl Contract {
    /// The contract of this platform, with these bounds for submissions.
    ///
    /// # Errors
    ///
    /// [`ContractError`], when the file is not what this program can hold messages to.
    pub fn of_the_platform(bounds: &Bounds) -> Result<Self, ContractError> {
        Self::parse(with_bounds(OPENAPI, bounds))
    }

    // ANCHOR: parse
    /// Loads a contract and compiles everything in it.
    ///
    /// # Errors
    ///
    /// [`ContractError`]. Nothing is left for later: a contract that loads can be checked against.
    pub fn parse(text: String) -> Result<Self, ContractError> {
        let document: Value = serde_saphyr::from_str(&text)
            .map_err(|violation| ContractError::Yaml(violation.to_string()))?;
        let document = Arc::new(document);
        let root = Place::root(&document);
        if !root.text("openapi").is_some_and(|version| version.starts_with("3.1.")) {
            return Err(ContractError::Version);
        }
        let schemas = Schemas::new(Arc::clone(&document))?;
        let (mut operations, mut paths) = (Vec::new(), matchit::Router::new());
        for (path, item) in root.get("paths").map(|paths| paths.all()).unwrap_or_default() {
            let first = operations.len();
            operations.extend(operations_at(&path, &item, &schemas)?);
            let here = (first..operations.len()).collect();
            paths
                .insert(path.clone(), here)
                .map_err(|violation| ContractError::Path { path, reason: violation.to_string() })?;
        }
        let json = Bytes::from(document.to_string());
        Ok(Self { yaml: text.into(), json, operations, paths })
    }
    // ANCHOR_END: parse

    /// Everything that can be asked for.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What the contract has for this method and path. HEAD is GET without the body.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Lookup<'_> {
        let Ok(found) = self.paths.at(path) else { return Lookup::Nowhere };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let here = || found.value.iter().filter_map(|at| self.operations.get(*at));
        let Some(operation) = here().find(|operation| operation.method == *method) else {
            return Lookup::Only(here().map(|operation| operation.method.clone()).collect());
        };
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Lookup::Found(operation, found.params.iter().map(own).collect())
    }
}

fn operations_at(
    path: &str,
    item: &Place<'_>,
    schemas: &Schemas,
) -> Result<Vec<Operation>, ContractError> {
    let shared = item.get("parameters");
    let of = |(name, method): (&str, Method)| {
        let place = item.get(name)?;
        Some(Operation::compile((method, path), &place, shared.as_ref(), schemas))
    };
    METHODS.into_iter().filter_map(of).collect()
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
