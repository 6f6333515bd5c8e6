//! The rules, for an administrator to read. Only the file changes them.

use http::{Method, StatusCode};
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};

use super::Rules;

/// The route of the rules.
pub(crate) fn rule_routes(rules: Rules) -> Router {
    let routes: StatefulRouter<Rules> =
        Router::with_state(rules).route(Method::GET, "/rules", list);
    routes.into()
}

async fn list(rules: Rules, request: MatchedRequest) -> Result<Response, Problem> {
    let [] = request.query([])?;
    json(StatusCode::OK, &serde_json::json!({ "items": rules.summaries }))
}
