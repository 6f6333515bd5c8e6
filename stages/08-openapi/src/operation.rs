//! One operation of the contract, compiled: what it takes, and what it may answer.
//!
//! What this program cannot check, it does not pass over: a contract that asks for it is refused
//! when it is loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

use crate::contract::ContractError;
use crate::document::Place;
use crate::schema::{Schema, Schemas};
use crate::violation::Part;

/// One method of one path.
pub struct Operation {
    /// Its `operationId`.
    pub id: String,
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<(String, Answer)>,
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
pub(crate) struct Body {
    pub(crate) required: bool,
    pub(crate) content: BTreeMap<String, Content>,
}

/// What a body of one media type may be.
pub(crate) struct Content {
    /// None when any body of that type will do.
    pub(crate) schema: Option<Arc<Schema>>,
    /// For a stream: what each event of it is.
    pub(crate) item: Option<Item>,
}

/// One event of a stream.
#[derive(Clone)]
pub(crate) struct Item {
    /// Its lines, by their names.
    pub(crate) lines: Arc<Schema>,
    /// What stands in the line `data`, as JSON.
    pub(crate) data: Arc<Schema>,
}

/// One possible answer.
pub(crate) struct Answer {
    pub(crate) headers: Vec<Parameter>,
    pub(crate) content: BTreeMap<String, Content>,
}

impl Operation {
    /// Compiles the operation at `place`, with the parameters of its path.
    pub(crate) fn compile(
        (method, path): (Method, &str),
        place: &Place<'_>,
        of_path: Option<&Place<'_>>,
        schemas: &Schemas,
    ) -> Result<Self, ContractError> {
        let id = place.text("operationId").ok_or_else(|| missing(place, "operationId"))?;
        let own = place.get("parameters");
        let all = of_path.into_iter().chain(own.as_ref()).flat_map(Place::all);
        let parameters = all.map(|(_, one)| parameter(&one, schemas)).collect::<Result<_, _>>()?;
        let body = place.get("requestBody").map(|body| {
            let content = contents(&body, schemas)?;
            Ok::<_, ContractError>(Body { required: body.is("required"), content })
        });
        let answers = place.get("responses").ok_or_else(|| missing(place, "responses"))?;
        let answer = |(status, one): (String, Place<'_>)| Ok((status, answer(&one, schemas)?));
        let answers =
            answers.all().into_iter().map(answer).collect::<Result<_, ContractError>>()?;
        let (id, path) = (id.to_owned(), path.to_owned());
        Ok(Self { id, method, path, parameters, body: body.transpose()?, answers })
    }

    // ANCHOR: answer
    /// What the contract says about answers of this status: exactly, or for all of its kind.
    pub(crate) fn answer(&self, status: StatusCode) -> Option<&Answer> {
        let exact = status.as_str();
        let range = format!("{}XX", &exact[..1]);
        [exact, &range, "default"].iter().find_map(|wanted| {
            let found = self.answers.iter().find(|(declared, _)| declared == wanted);
            found.map(|(_, answer)| answer)
        })
    }
    // ANCHOR_END: answer

    /// Whether one of its answers is a stream.
    pub(crate) fn has_stream(&self) -> bool {
        let contents = self.answers.iter().flat_map(|(_, answer)| answer.content.values());
        contents.into_iter().any(|content| content.item.is_some())
    }

    /// The parameters in `part`.
    pub(crate) fn parameters_in(&self, part: Part) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.part == part)
    }
}

fn parameter(place: &Place<'_>, schemas: &Schemas) -> Result<Parameter, ContractError> {
    let name = place.text("name").ok_or_else(|| missing(place, "name"))?;
    let part = match place.text("in") {
        Some("path") => Part::Path,
        Some("query") => Part::Query,
        Some("header") => Part::Header,
        other => {
            return Err(beyond(place, format!("a parameter in {}", other.unwrap_or("nothing"))));
        }
    };
    value(name, part, place, schemas)
}

fn value(
    name: &str,
    part: Part,
    place: &Place<'_>,
    schemas: &Schemas,
) -> Result<Parameter, ContractError> {
    if let Some(keyword) = ["content", "style", "explode", "allowReserved"]
        .into_iter()
        .find(|keyword| place.value.get(*keyword).is_some())
    {
        return Err(beyond(place, format!("a parameter with `{keyword}`")));
    }
    let schema = place.get("schema").ok_or_else(|| missing(place, "schema"))?;
    let scalar = match schema.text("type") {
        Some("string") => Scalar::Text,
        Some("integer" | "number") => Scalar::Number,
        Some("boolean") => Scalar::Boolean,
        other => {
            let kind = other.unwrap_or("several types");
            return Err(beyond(&schema, format!("a parameter of {kind}")));
        }
    };
    let schema = schemas.at(&schema.pointer)?;
    Ok(Parameter { name: name.to_owned(), part, required: place.is("required"), scalar, schema })
}

fn answer(place: &Place<'_>, schemas: &Schemas) -> Result<Answer, ContractError> {
    let headers = place.get("headers").map(|headers| headers.all()).unwrap_or_default();
    let header = |(name, one): (String, Place<'_>)| {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| beyond(&one, "this header".to_owned()))?;
        value(&name, Part::Header, &one, schemas)
    };
    let headers = headers.into_iter().map(header).collect::<Result<_, ContractError>>()?;
    Ok(Answer { headers, content: contents(place, schemas)? })
}

fn contents(
    place: &Place<'_>,
    schemas: &Schemas,
) -> Result<BTreeMap<String, Content>, ContractError> {
    let content = place.get("content").map(|content| content.all()).unwrap_or_default();
    let one = |(media, one): (String, Place<'_>)| {
        let schema = one.get("schema").map(|schema| schemas.at(&schema.pointer)).transpose()?;
        let item = one.get("x-itemSchema").map(|lines| item(&lines, schemas)).transpose()?;
        Ok((media.to_ascii_lowercase(), Content { schema, item }))
    };
    content.into_iter().map(one).collect()
}

fn item(lines: &Place<'_>, schemas: &Schemas) -> Result<Item, ContractError> {
    let data = lines.get("properties").and_then(|it| it.get("data")?.get("contentSchema"));
    let data = data.ok_or_else(|| missing(lines, "contentSchema"))?;
    Ok(Item { lines: schemas.at(&lines.pointer)?, data: schemas.at(&data.pointer)? })
}

fn missing(place: &Place<'_>, what: &'static str) -> ContractError {
    ContractError::Missing { pointer: place.pointer.clone(), what }
}

fn beyond(place: &Place<'_>, what: String) -> ContractError {
    ContractError::Beyond { pointer: place.pointer.clone(), what }
}
