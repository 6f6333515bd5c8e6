//! One operation of the contract, compiled: what it takes, and what it may answer.
//!
//! A contract with anything that this program cannot check is refused when it is loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

use crate::document::DocumentCursor;
use crate::error::ContractError;
use crate::schema::{Schema, Schemas};
use crate::violation::Part;

/// Media types whose bodies are bytes, even where a schema describes them.
const BINARY_MEDIA_TYPES: [&str; 2] = ["application/octet-stream", "application/x-tar"];
/// The member of a `requestBody` with the largest size of that body, in bytes.
const MAX_BODY_BYTES: &str = "x-max-body-bytes";

/// One method of one path.
pub struct Operation {
    /// Its `operationId`.
    pub id: String,
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: Arc<str>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) request_body: Option<RequestBody>,
    /// By their status, which may be a class such as `4XX`.
    pub(crate) responses: Vec<(String, ResponseRules)>,
}

/// A value outside the body: a part of the path, of the query, or a header.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) part: Part,
    pub(crate) required: bool,
    pub(crate) scalar: Scalar,
    pub(crate) schema: Arc<Schema>,
}

/// What a text outside the body stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text,
    Number,
    Boolean,
}

/// The body of a request.
pub(crate) struct RequestBody {
    pub(crate) required: bool,
    /// None is the limit of the server.
    pub(crate) max_bytes: Option<usize>,
    pub(crate) content: BTreeMap<String, Content>,
}

/// What a body of one media type is.
pub(crate) enum Content {
    /// Bytes, which are passed on as they arrive and are not checked.
    Binary,
    /// A value, which is read as a whole.
    Value(Arc<Schema>),
    /// Server-Sent Events, which are checked one by one.
    Events(EventSchemas),
}

/// The schemas of one event of a stream.
#[derive(Clone)]
pub(crate) struct EventSchemas {
    /// Of its fields, by their names.
    pub(crate) fields: Arc<Schema>,
    /// Of the JSON in the field `data`.
    pub(crate) data: Arc<Schema>,
}

/// One possible response.
pub(crate) struct ResponseRules {
    pub(crate) headers: Vec<Parameter>,
    pub(crate) content: BTreeMap<String, Content>,
}

impl Operation {
    /// Compiles the operation at `cursor`, with the parameters of its path.
    pub(crate) fn compile(
        (method, path): (Method, &Arc<str>),
        cursor: &DocumentCursor<'_>,
        path_parameters: Option<&DocumentCursor<'_>>,
        schemas: &Schemas,
    ) -> Result<Self, ContractError> {
        let id = cursor.text("operationId").ok_or_else(|| missing(cursor, "operationId"))?;
        let own = cursor.get("parameters");
        let all = path_parameters.into_iter().chain(own.as_ref()).flat_map(DocumentCursor::all);
        let parameters = all.map(|(_, one)| parameter(&one, schemas)).collect::<Result<_, _>>()?;
        let body = cursor.get("requestBody").map(|body| request_body(&body, schemas));
        let responses = cursor.get("responses").ok_or_else(|| missing(cursor, "responses"))?;
        let response = |(status, one): (String, DocumentCursor<'_>)| {
            Ok::<_, ContractError>((status, response_rules(&one, schemas)?))
        };
        let responses = responses.all().into_iter().map(response).collect::<Result<_, _>>()?;
        let (id, path, request_body) = (id.to_owned(), Arc::clone(path), body.transpose()?);
        Ok(Self { id, method, path, parameters, request_body, responses })
    }

    // ANCHOR: response
    /// What the contract has for responses of this status: exactly, or for its class.
    pub(crate) fn response(&self, status: StatusCode) -> Option<&ResponseRules> {
        let exact = status.as_str();
        let class = format!("{}XX", &exact[..1]);
        [exact, &class, "default"].iter().find_map(|wanted| {
            let found = self.responses.iter().find(|(declared, _)| declared == wanted);
            found.map(|(_, response)| response)
        })
    }
    // ANCHOR_END: response

    /// Whether one of its responses is a stream of events.
    pub(crate) fn has_events(&self) -> bool {
        let mut contents = self.responses.iter().flat_map(|(_, rules)| rules.content.values());
        contents.any(|content| matches!(content, Content::Events(_)))
    }

    /// The parameters in `part`.
    pub(crate) fn parameters_in(&self, part: Part) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.part == part)
    }
}

fn parameter(cursor: &DocumentCursor<'_>, schemas: &Schemas) -> Result<Parameter, ContractError> {
    let name = cursor.text("name").ok_or_else(|| missing(cursor, "name"))?;
    let part = match cursor.text("in") {
        Some("path") => Part::Path,
        Some("query") => Part::Query,
        Some("header") => Part::Header,
        other => {
            return Err(unsupported(
                cursor,
                format!("a parameter in {}", other.unwrap_or("nothing")),
            ));
        }
    };
    value(name, part, cursor, schemas)
}

fn value(
    name: &str,
    part: Part,
    cursor: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<Parameter, ContractError> {
    if let Some(keyword) = ["content", "style", "explode", "allowReserved"]
        .into_iter()
        .find(|keyword| cursor.value.get(*keyword).is_some())
    {
        return Err(unsupported(cursor, format!("a parameter with `{keyword}`")));
    }
    let schema = cursor.get("schema").ok_or_else(|| missing(cursor, "schema"))?;
    let scalar = match schema.text("type") {
        Some("string") => Scalar::Text,
        Some("integer" | "number") => Scalar::Number,
        Some("boolean") => Scalar::Boolean,
        other => {
            let kind = other.unwrap_or("several types");
            return Err(unsupported(&schema, format!("a parameter of {kind}")));
        }
    };
    let schema = schemas.at(&schema.pointer)?;
    Ok(Parameter { name: name.to_owned(), part, required: cursor.is("required"), scalar, schema })
}

fn request_body(
    cursor: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<RequestBody, ContractError> {
    let content = contents(cursor, schemas)?;
    let max_bytes = cursor.value.get(MAX_BODY_BYTES).map(|number| {
        let number = number.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| unsupported(cursor, format!("`{MAX_BODY_BYTES}` that is no number")))
    });
    let max_bytes = max_bytes.transpose()?;
    // The limit of the server is for bodies that fit into memory.
    let is_streamed = content.values().any(|content| matches!(content, Content::Binary));
    if is_streamed && max_bytes.is_none() {
        return Err(missing(cursor, MAX_BODY_BYTES));
    }
    Ok(RequestBody { required: cursor.is("required"), max_bytes, content })
}

fn response_rules(
    cursor: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<ResponseRules, ContractError> {
    let headers = cursor.get("headers").map(|headers| headers.all()).unwrap_or_default();
    let header = |(name, one): (String, DocumentCursor<'_>)| {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| unsupported(&one, "an invalid header name".to_owned()))?;
        value(&name, Part::Header, &one, schemas)
    };
    let headers = headers.into_iter().map(header).collect::<Result<_, ContractError>>()?;
    Ok(ResponseRules { headers, content: contents(cursor, schemas)? })
}

fn contents(
    cursor: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<BTreeMap<String, Content>, ContractError> {
    let content = cursor.get("content").map(|content| content.all()).unwrap_or_default();
    let one = |(media, one): (String, DocumentCursor<'_>)| {
        let media = media.to_ascii_lowercase();
        let content = content_of(&media, &one, schemas)?;
        Ok((media, content))
    };
    content.into_iter().map(one).collect()
}

// ANCHOR: content
fn content_of(
    media: &str,
    cursor: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<Content, ContractError> {
    if let Some(fields) = cursor.get("x-itemSchema") {
        return Ok(Content::Events(event_schemas(&fields, schemas)?));
    }
    // Without a schema, OpenAPI 3.1 means bytes.
    let Some(schema) = cursor.get("schema") else { return Ok(Content::Binary) };
    if BINARY_MEDIA_TYPES.contains(&media) || schema.text("format") == Some("binary") {
        return Ok(Content::Binary);
    }
    Ok(Content::Value(schemas.at(&schema.pointer)?))
}
// ANCHOR_END: content

fn event_schemas(
    fields: &DocumentCursor<'_>,
    schemas: &Schemas,
) -> Result<EventSchemas, ContractError> {
    let data = fields
        .get("properties")
        .and_then(|properties| properties.get("data")?.get("contentSchema"));
    let data = data.ok_or_else(|| missing(fields, "contentSchema"))?;
    Ok(EventSchemas { fields: schemas.at(&fields.pointer)?, data: schemas.at(&data.pointer)? })
}

fn missing(cursor: &DocumentCursor<'_>, what: &'static str) -> ContractError {
    ContractError::Missing { pointer: cursor.pointer.clone(), what }
}

fn unsupported(cursor: &DocumentCursor<'_>, what: String) -> ContractError {
    ContractError::Unsupported { pointer: cursor.pointer.clone(), what }
}
