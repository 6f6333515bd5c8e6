//! The body of `POST /compare`.

use serde::Deserialize;
use serde_json::Value;
use shared::Submission;
use shared::submission::{FieldError, InvalidSubmission};
use stage_02_queue::malformed;

use crate::batches::{SubmitOptions, parse_one};
use crate::environments::Selection;

/// The body as it is on the wire.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    program: Value,
    environments: [String; 2],
}

/// A submission with what is said beside it.
type One = (SubmitOptions, Submission);

/// The two environments, and the program for each.
pub(super) fn parse(
    body: Value,
    selection: &Selection,
) -> Result<([String; 2], Vec<One>), InvalidSubmission> {
    let Wire { program, environments } = serde_json::from_value(body).map_err(malformed)?;
    if program.get("environment").is_some_and(|named| !named.is_null()) {
        let detail = "leave it out: `environments` names both";
        return Err(InvalidSubmission::Invalid(vec![FieldError {
            part: None,
            pointer: "/program/environment".to_owned(),
            detail: detail.to_owned(),
        }]));
    }
    let (mut parsed, mut errors) = (Vec::new(), Vec::<FieldError>::new());
    for (at, name) in environments.iter().enumerate() {
        let mut program = program.clone();
        if let Some(members) = program.as_object_mut() {
            members.insert("environment".to_owned(), Value::from(name.as_str()));
        }
        match parse_one(program, "/program", selection) {
            Ok(one) => parsed.push(one),
            Err(of_one) => {
                for mut error in of_one {
                    if error.pointer == "/program/environment" {
                        error.pointer = format!("/environments/{at}");
                    }
                    // What is wrong with the program is wrong in both.
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
            }
        }
    }
    if errors.is_empty() {
        Ok((environments, parsed))
    } else {
        Err(InvalidSubmission::Invalid(errors))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_is_parsed_for_each_environment_and_what_is_wrong_is_named_once() {
        let selection = Selection::for_test();
        let parse = |body: Value| super::parse(body, &selection);
        let both = json!({ "program": { "code": "1" }, "environments": ["python", "python"] });
        let (environments, submissions) = parse(both).unwrap();
        assert_eq!((environments, submissions.len()), (["python", "python"].map(Into::into), 2));
        for (body, pointers) in [
            (
                json!({ "program": { "code": "" }, "environments": ["python", "../x"] }),
                vec!["/environments/1"],
            ),
            (
                json!({ "program": { "code": "\0" }, "environments": ["python", "python"] }),
                vec!["/program/code"],
            ),
            (json!({ "program": "x", "environments": ["python", "python"] }), vec!["/program"]),
            (
                json!({ "program": { "code": "", "environment": "python" }, "environments": ["python", "python"] }),
                vec!["/program/environment"],
            ),
        ] {
            let Err(InvalidSubmission::Invalid(errors)) = parse(body.clone()) else {
                panic!("{body}")
            };
            assert_eq!(
                errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(),
                pointers
            );
        }
        for body in [
            json!({}),
            json!([]),
            json!({ "program": {}, "environments": ["python"] }),
            json!({ "program": {}, "environments": ["python", "python", "python"] }),
            json!({ "program": {}, "environments": ["python", "python"], "engines": [] }),
        ] {
            assert!(matches!(parse(body.clone()), Err(InvalidSubmission::Malformed(_))), "{body}");
        }
    }
}
