//! The contract, loaded: which operations there are, and what each of them takes and answers.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use shared::Bounds;
use shared::http::{Problem, RouteMatch};

use crate::document::{DocumentCursor, with_bounds};
use crate::error::ContractError;
use crate::operation::Operation;
use crate::schema::Schemas;
use crate::{overlay, yaml};

/// The contract of the platform, as it is in `openapi.yaml`.
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

/// A contract that messages can be checked against.
pub struct Contract {
    /// The text, with the configured bounds.
    pub(crate) yaml: Bytes,
    /// The same as JSON.
    pub(crate) json: Bytes,
    operations: Vec<Arc<Operation>>,
    paths: matchit::Router<PathItem>,
}

struct PathItem {
    template: Arc<str>,
    operations: Vec<Arc<Operation>>,
}

impl Contract {
    /// The contract of the platform, with these bounds for submissions.
    ///
    /// # Errors
    ///
    /// [`ContractError`], when the file has something that cannot be checked.
    pub fn load(bounds: &Bounds) -> Result<Self, ContractError> {
        Self::parse(with_bounds(OPENAPI, bounds))
    }

    // ANCHOR: overlay
    /// The contract of the platform with what the overlays add, in their order: paths, operations, members of
    /// schemas, event types. Settings that an overlay names in comments are filled in as in the contract itself.
    ///
    /// All of them at once, so that only their result is compiled.
    ///
    /// # Errors
    ///
    /// [`ContractError`], when an overlay would change the contract, or the result cannot be checked.
    pub fn with_overlays<T: AsRef<str>>(
        bounds: &Bounds,
        overlays: impl IntoIterator<Item = T>,
    ) -> Result<Self, ContractError> {
        let mut document = read(&with_bounds(OPENAPI, bounds))?;
        for overlay in overlays {
            overlay::apply(&mut document, &with_bounds(overlay.as_ref(), bounds))?;
        }
        let yaml = yaml::write(&document);
        Self::compile(document, yaml)
    }
    // ANCHOR_END: overlay

    // ANCHOR: parse
    /// Loads a contract and compiles everything in it.
    ///
    /// # Errors
    ///
    /// [`ContractError`]. Nothing is left for later: a contract that loads can be checked against.
    pub fn parse(text: String) -> Result<Self, ContractError> {
        Self::compile(read(&text)?, text)
    }

    fn compile(document: Value, yaml: String) -> Result<Self, ContractError> {
        let document = Arc::new(document);
        let root = DocumentCursor::root(&document);
        if !root.text("openapi").is_some_and(|version| version.starts_with("3.1.")) {
            return Err(ContractError::Version);
        }
        let schemas = Schemas::new(Arc::clone(&document))?;
        let (mut operations, mut paths) = (Vec::new(), matchit::Router::new());
        for (path, item) in root.get("paths").map(|paths| paths.all()).unwrap_or_default() {
            let template = Arc::from(path.as_str());
            let item = PathItem { operations: compile_path(&template, &item, &schemas)?, template };
            operations.extend(item.operations.iter().cloned());
            paths
                .insert(path.clone(), item)
                .map_err(|source| ContractError::Path { path, source })?;
        }
        let json = Bytes::from(document.to_string());
        Ok(Self { yaml: yaml.into(), json, operations, paths })
    }
    // ANCHOR_END: parse

    /// All operations.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// The operation for this method and path, and the match to it. HEAD is GET without the body.
    pub(crate) fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(&Arc<Operation>, RouteMatch), Problem> {
        let found = self.paths.at(path).map_err(|_| Problem::unknown_path())?;
        let PathItem { template, operations } = found.value;
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let Some(operation) = operations.iter().find(|operation| operation.method == *method)
        else {
            let methods = operations.iter().map(|operation| &operation.method);
            return Err(Problem::method_not_allowed(methods));
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let params = found.params.iter().map(owned).collect();
        Ok((operation, RouteMatch { template: Arc::clone(template), params }))
    }
}

fn read(text: &str) -> Result<Value, ContractError> {
    serde_saphyr::from_str(text).map_err(|error| ContractError::Yaml(Box::new(error)))
}

fn compile_path(
    path: &Arc<str>,
    item: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<Vec<Arc<Operation>>, ContractError> {
    let shared = item.get("parameters");
    let compile = |(name, method): (&str, Method)| {
        let operation = item.get(name)?;
        let compiled = Operation::compile((method, path), &operation, shared.as_ref(), schemas);
        Some(compiled.map(Arc::new))
    };
    METHODS.into_iter().filter_map(compile).collect()
}

#[cfg(test)]
mod tests;
