//! What a submission says beside its program: how it waits.
//!
//! The stages below know no such members. So a layer between the contract, which has checked them,
//! and the routes takes them out of the body, and the queue of this stage puts them into the
//! submission, where the journal stores them and the dispatch reads them.

use std::sync::Arc;

use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::http::{ApiService, BodyPolicy, ParsedJson, Problem, Request, Response};
use shared::submission::{FieldError, InvalidSubmission};
use shared::{BoxFuture, RequestContext, Submission};
use stage_06_advanced::Environment;

use crate::environments::{Selection, store_in};

/// The name of the options in [`Submission::extensions`].
const OPTIONS: &str = "scheduling";
/// The members that a submission has in this stage.
const MEMBERS: [&str; 2] = ["priority", "queue_timeout_seconds"];
/// The longest time that a submission may wait, in seconds: a week.
const MAX_QUEUE_TIMEOUT_SECONDS: f64 = 604_800.0;

tokio::task_local! {
    /// The options of the submission that the current request makes. A handler of the stages below
    /// calls the queue in the task of its request.
    static REQUESTED: SubmitOptions;
}

/// How soon an evaluation runs, compared with others that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    /// Before the others, mostly.
    High,
    /// The usual one.
    #[default]
    Normal,
    /// After the others, mostly.
    Low,
}

/// The options of one submission, with the owner that the dispatch counts it for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SubmitOptions {
    /// How soon it runs.
    pub priority: Priority,
    /// How long it may wait for a worker; without it, without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout_seconds: Option<f64>,
    /// The principal that submitted it. No client can set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it runs in, if that is not the default. The submission's own profile says it from then on.
    #[serde(skip)]
    pub environment: Option<Arc<Environment>>,
}

impl SubmitOptions {
    /// The options of the submission that the current request makes.
    pub(crate) fn requested() -> Self {
        REQUESTED.try_with(Self::clone).unwrap_or_default()
    }

    /// The options that a submission was accepted with.
    pub(crate) fn of(submission: &Submission) -> Self {
        let stored = submission.extensions.get(OPTIONS);
        stored.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// Puts them into a submission, for the principal of `context`.
    pub(crate) fn store_in(mut self, submission: &mut Submission, context: &RequestContext) {
        if let Some(environment) = self.environment.take() {
            store_in(&environment, submission);
        }
        self.owner.clone_from(&context.principal);
        if self != Self::default()
            && let Ok(value) = serde_json::to_value(&self)
        {
            submission.extensions.insert(OPTIONS.to_owned(), value);
        }
    }

    /// Takes the options out of a submission on the wire.
    ///
    /// # Errors
    ///
    /// When one is out of its bounds. The contract has the same bounds.
    pub(crate) fn take(
        submission: &mut Value,
        selection: &Selection,
    ) -> Result<Self, InvalidSubmission> {
        let environment = selection.take(submission)?;
        let Some(members) = submission.as_object_mut() else { return Ok(Self::default()) };
        let found = MEMBERS.iter().filter_map(|name| Some((*name, members.shift_remove(*name)?)));
        let given = found.filter(|(_, value)| !value.is_null());
        let given: serde_json::Map<_, _> =
            given.map(|(name, value)| (name.to_owned(), value)).collect();
        let options: Self = serde_json::from_value(Value::Object(given))
            .map_err(|error| InvalidSubmission::Malformed(error.to_string()))?;
        let seconds = options.queue_timeout_seconds.unwrap_or(1.0);
        if (0.1..=MAX_QUEUE_TIMEOUT_SECONDS).contains(&seconds) {
            return Ok(Self { environment, ..options });
        }
        let detail = format!("give a number of seconds from 0.1 to {MAX_QUEUE_TIMEOUT_SECONDS}");
        let pointer = format!("/{}", MEMBERS[1]);
        Err(InvalidSubmission::Invalid(vec![FieldError { part: None, pointer, detail }]))
    }
}

/// The principal that a submission was accepted for, by the id of its key.
pub fn owner_of(submission: &Submission) -> Option<String> {
    SubmitOptions::of(submission).owner
}

/// Takes the options out of the requests to `inner`.
pub struct WithOptions<A> {
    inner: A,
    selection: Selection,
}

impl<A> WithOptions<A> {
    /// The options of requests to `inner`, with the environments of `selection`.
    pub fn new(inner: A, selection: Selection) -> Self {
        Self { inner, selection }
    }
}

impl<A: ApiService> WithOptions<A> {
    async fn answer(&self, mut request: Request) -> Response {
        let is_submission =
            request.method() == http::Method::POST && request.uri().path() == "/eval";
        let parsed = request.extensions_mut().remove::<ParsedJson>();
        let Some(ParsedJson(body)) = parsed else { return self.inner.call(request).await };
        if !is_submission {
            request.extensions_mut().insert(ParsedJson(body));
            return self.inner.call(request).await;
        }
        let mut body = Arc::unwrap_or_clone(body);
        let options = match SubmitOptions::take(&mut body, &self.selection) {
            Ok(options) => options,
            Err(invalid) => {
                let context = request.extensions().get::<RequestContext>();
                let id = context.map(|context| context.request_id.clone()).unwrap_or_default();
                return Problem::from(invalid).into_response(&id);
            }
        };
        request.extensions_mut().insert(ParsedJson(Arc::new(body)));
        REQUESTED.scope(options, self.inner.call(request)).await
    }
}

impl<A: ApiService> ApiService for WithOptions<A> {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        self.inner.admit(head)
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.answer(request))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(body: &mut Value) -> Result<SubmitOptions, InvalidSubmission> {
        SubmitOptions::take(body, &Selection::for_test())
    }

    #[test]
    fn options_are_taken_out_and_the_rest_stays() {
        let mut body = json!({
            "code": "x", "priority": "low", "queue_timeout_seconds": 2.5,
            "labels": {},
        });
        let options = take(&mut body).unwrap();
        assert_eq!(body, json!({ "code": "x", "labels": {} }));
        assert_eq!(options.priority, Priority::Low);
        assert_eq!(options.queue_timeout_seconds, Some(2.5));
        let nulls = json!({ "priority": null, "queue_timeout_seconds": null });
        assert_eq!(take(&mut nulls.clone()).unwrap(), SubmitOptions::default());
        assert_eq!(take(&mut json!({})).unwrap(), SubmitOptions::default());
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (body, pointer) in [
            (json!({ "queue_timeout_seconds": 0 }), "/queue_timeout_seconds"),
            (json!({ "queue_timeout_seconds": -1 }), "/queue_timeout_seconds"),
            (json!({ "queue_timeout_seconds": 1e9 }), "/queue_timeout_seconds"),
        ] {
            match take(&mut body.clone()) {
                Err(InvalidSubmission::Invalid(errors)) => assert_eq!(errors[0].pointer, pointer),
                other => panic!("{body}: {other:?}"),
            }
        }
        for body in [
            json!({ "priority": "urgent" }),
            json!({ "priority": 1 }),
            json!({ "queue_timeout_seconds": "2" }),
        ] {
            let error = take(&mut body.clone()).unwrap_err();
            assert!(matches!(error, InvalidSubmission::Malformed(_)), "{body}: {error:?}");
        }
    }

    #[test]
    fn no_client_chooses_the_owner() {
        // The owner stays in the body, which the parser of a submission refuses.
        let mut body = json!({ "owner": "another", "priority": "high" });
        assert_eq!(take(&mut body).unwrap().owner, None);
        assert_eq!(body, json!({ "owner": "another" }));
        let limits = harness::TEST_LIMITS;
        let mut submission = Submission::new("x", limits);
        let context = RequestContext { principal: Some("me".into()), ..RequestContext::internal() };
        SubmitOptions::default().store_in(&mut submission, &context);
        assert_eq!(SubmitOptions::of(&submission).owner.as_deref(), Some("me"));
    }
}
