//! The body of `POST /batches`.

use serde_json::Value;
use shared::Submission;
use shared::profile::PYTHON;
use shared::submission::{FieldError, InvalidSubmission};
use stage_02_queue::submission_from_value;

use super::options::SubmitOptions;
use crate::environments::Selection;

/// Evaluations of one batch.
pub(super) const MAX_BATCH: usize = 1_000;
/// Errors in one answer.
const MAX_ERRORS: usize = 64;

/// The submissions of a batch, or the errors of all of them at once.
pub(super) fn parse(
    mut body: Value,
    selection: &Selection,
) -> Result<Vec<(SubmitOptions, Submission)>, InvalidSubmission> {
    let items = match body.get_mut("evaluations").map(Value::take) {
        Some(Value::Array(items)) if (1..=MAX_BATCH).contains(&items.len()) => items,
        _ => {
            let detail = format!("give 1 to {MAX_BATCH} submissions as `evaluations`");
            return Err(InvalidSubmission::Malformed(detail));
        }
    };
    let (mut parsed, mut errors) = (Vec::with_capacity(items.len()), Vec::new());
    for (at, item) in items.into_iter().enumerate() {
        match parse_one(item, &format!("/evaluations/{at}"), selection) {
            Ok(one) => parsed.push(one),
            Err(of_one) => errors.extend(of_one),
        }
        if errors.len() >= MAX_ERRORS {
            break;
        }
    }
    if errors.is_empty() { Ok(parsed) } else { Err(InvalidSubmission::Invalid(errors)) }
}

/// One submission that is the member at `pointer` of a body, or its errors.
pub(crate) fn parse_one(
    mut item: Value,
    pointer: &str,
    selection: &Selection,
) -> Result<(SubmitOptions, Submission), Vec<FieldError>> {
    let parsed = SubmitOptions::take(&mut item, selection).and_then(|options| {
        Ok((options, submission_from_value(item, &selection.bounds, &PYTHON)?))
    });
    let within = |below: &str| format!("{pointer}{below}");
    parsed.map_err(|invalid| match invalid {
        InvalidSubmission::Invalid(errors) => errors
            .into_iter()
            .map(|error| FieldError { pointer: within(&error.pointer), ..error })
            .collect(),
        InvalidSubmission::Malformed(detail) => {
            vec![FieldError { part: None, pointer: within(""), detail }]
        }
    })
}
