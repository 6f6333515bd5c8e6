//! The body of `POST /verify`.

use serde::Deserialize;
use serde_json::Value;
use shared::Submission;
use shared::submission::{FieldError, InvalidSubmission};
use stage_02_queue::malformed;
use stage_06_advanced::Profiles;

use super::evaluated::DIRECTORY;
use crate::batches::{SubmitOptions, parse_one};
use crate::environments::Selection;

/// The body as it is on the wire.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    program: Value,
    verifier: Value,
}

/// A submission with what is said beside it.
type One = (SubmitOptions, Submission);

/// The program and its verifier, or the errors of both at once.
pub(super) fn parse(body: Value, selection: &Selection) -> Result<(One, One), InvalidSubmission> {
    let Wire { program, verifier } = serde_json::from_value(body).map_err(malformed)?;
    let program = parse_one(program, "/program", selection);
    let verifier = parse_one(verifier, "/verifier", selection)
        .and_then(|one| check(&one.1, &selection.profiles).map(|()| one));
    match (program, verifier) {
        (Ok(program), Ok(verifier)) => Ok((program, verifier)),
        (program, verifier) => {
            let of_both = [program.err(), verifier.err()].into_iter().flatten().flatten();
            Err(InvalidSubmission::Invalid(of_both.collect()))
        }
    }
}

/// A verifier's own files are not where those of the program will be.
fn check(verifier: &Submission, profiles: &Profiles) -> Result<(), Vec<FieldError>> {
    let error = |pointer: String, detail: String| vec![FieldError { part: None, pointer, detail }];
    let is_taken = |path: &str| path.split('/').next() == Some(DIRECTORY);
    if let Some(file) = verifier.files.iter().find(|file| is_taken(&file.path)) {
        let pointer = format!("/verifier/files/{}", shared::pointer::escape(&file.path));
        let detail = format!("choose another name: {DIRECTORY} is what the program has left");
        return Err(error(pointer, detail));
    }
    let profile = profiles.find(&verifier.profile);
    if profile.is_some_and(|profile| profile.main_file == DIRECTORY) {
        let detail = format!("choose another one: its program is a file called {DIRECTORY}");
        return Err(error("/verifier/environment".to_owned(), detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_errors_of_both_programs_come_at_once() {
        let selection = Selection::for_test();
        let parse = |body: Value| super::parse(body, &selection);
        let both = json!({ "program": { "code": "1" }, "verifier": { "code": "2", "files": { "a": "" } } });
        let (program, verifier) = parse(both).unwrap();
        assert_eq!((program.1.code.as_str(), verifier.1.code.as_str()), ("1", "2"));
        for (body, pointers) in [
            (
                json!({ "program": { "code": "\0" }, "verifier": { "code": "", "environment": "../x" } }),
                vec!["/program/code", "/verifier/environment"],
            ),
            (
                json!({ "program": { "code": "" }, "verifier": { "code": "", "files": { "evaluated/a": "" } } }),
                vec!["/verifier/files/evaluated~1a"],
            ),
            (json!({ "program": [], "verifier": 1 }), vec!["/program", "/verifier"]),
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
            json!({ "program": {} }),
            json!({ "program": {}, "verifier": {}, "x": 1 }),
        ] {
            assert!(matches!(parse(body.clone()), Err(InvalidSubmission::Malformed(_))), "{body}");
        }
    }
}
