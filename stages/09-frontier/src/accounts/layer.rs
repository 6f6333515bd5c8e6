//! The layer that knows each client, in front of the contract and the routes.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a body from a client that may not send any | the key is checked in `admit`, before the body is read | `a_body_without_a_key_is_not_read` |
//! | the id of another key's evaluation, on any route | [`Owners`], before the handler is called: the answer is that of an id that nothing has | `another_keys_evaluation_does_not_exist` |
//! | another key's events in the stream of all events | `feed` drops them | `the_stream_of_all_events_has_only_own_ones` |
//! | a key is revoked while it follows a stream | the key is checked again while the stream is open | `a_revoked_key_loses_its_streams` |
//! | a key reads or submits beyond its scope | `required`, with `admin` for what is not listed | `a_scope_allows_nothing_else` |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use serde_json::json;
use shared::http::{ApiService, Body, BodyPolicy, Problem, Request, Response, RouteMatch, full};
use shared::{BoxFuture, EvaluationsError, RequestContext};
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use super::access::Access;
use super::bearer::{Credential, credential, insufficient, unauthorized};
use super::feed::only_own;
use super::keys::Keys;
use super::owners::Owners;
use super::record::KeyRecord;
use crate::audit::{AuditLog, Entry, actions};
use crate::limits::{RateLimit, RateStatus, client_of};
use crate::metrics::FrontierMetrics;
use crate::web::same_site;

/// How often the key of an open stream is checked again.
const STREAM_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// What the layer is connected to.
pub struct AccessParts {
    /// Finds keys.
    pub keys: Arc<Keys>,
    /// Finds owners.
    pub owners: Arc<Owners>,
    /// Where refusals are recorded, and what administrators read of others.
    pub audit: Arc<AuditLog>,
    /// Ends the tasks in the background with the server.
    pub background: DropGuard,
    /// What becomes of requests is counted there.
    pub(crate) metrics: FrontierMetrics,
    /// The rate of each client.
    pub rate: RateLimit,
    /// The rate of each key at its sandboxes that stay.
    pub sandbox_rate: RateLimit,
    /// Whether a request without a key may do everything: on a loopback address, without keys.
    pub is_open: bool,
    /// What each operation needs.
    pub required: fn(&Method, &str) -> Access,
    /// Whether a proxy in front adds the address of each client to `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// Origins whose pages may use the server from a browser (`--allow-origin`).
    pub allowed_origins: Vec<HeaderValue>,
}

/// Knows the client of each request, and lets it do what its key allows.
pub struct AccessControl<A> {
    inner: A,
    parts: Arc<AccessParts>,
}

/// The key of a request, in its extensions. Absent where no key is needed and none was sent.
#[derive(Clone)]
pub(super) struct Caller(pub Arc<KeyRecord>);

/// What the client of a request has left, in its extensions.
#[derive(Clone, Copy)]
struct Rate(RateStatus);

impl<A: ApiService> AccessControl<A> {
    /// Control over the access to `inner`.
    pub fn new(inner: A, parts: AccessParts) -> Self {
        Self { inner, parts: Arc::new(parts) }
    }

    // ANCHOR: admit
    async fn judge(&self, head: &mut Parts) -> Result<BodyPolicy, Problem> {
        let judged = self.judge_uncounted(head).await;
        self.parts.metrics.count(judged.as_ref().err().map(Problem::status));
        judged
    }

    async fn judge_uncounted(&self, head: &mut Parts) -> Result<BodyPolicy, Problem> {
        same_site(head, &self.parts.allowed_origins)?;
        if self.parts.behind_proxy {
            set_client(head);
        }
        let caller = self.parts.identify(head).await?;
        let idempotency_key = crate::idempotency::parse(&head.headers);
        // A worker makes as many requests as its programs write output.
        if let Some(key) = caller.as_ref().filter(|key| !key.scopes.is_worker()) {
            let status = self.parts.rate_of(head).check(&key.id).into_result()?;
            head.extensions.insert(Rate(status));
        }
        let admitted = self.inner.admit(head).await;
        // Attack: learn by a request that is wrong what only a key may ask -> of a route that exists the key is
        // judged first.
        if admitted.is_ok() || head.extensions.get::<RouteMatch>().is_some() {
            let allowed = self.parts.authorize(head, caller).await;
            allowed.map_err(|problem| with_rate(head, problem))?;
        }
        let policy = admitted.map_err(|problem| with_rate(head, problem))?;
        let key = idempotency_key.map_err(|problem| with_rate(head, problem))?;
        if let Some(context) = head.extensions.get_mut::<RequestContext>() {
            context.idempotency_key = key;
        }
        Ok(policy)
    }
    // ANCHOR_END: admit

    async fn answer(&self, request: Request) -> Response {
        let rate = request.extensions().get::<Rate>().copied();
        let caller = request.extensions().get::<Caller>().cloned();
        let route = request.extensions().get::<RouteMatch>();
        let is_at = |template| route.is_some_and(|found| &*found.template == template);
        let (is_feed, is_metrics) = (is_at("/events"), is_at("/metrics"));
        let mut response = self.inner.call(request).await;
        if is_metrics && response.status().is_success() {
            response = self.parts.with_metrics(response).await;
        }
        if let Some(Rate(status)) = rate {
            status.add_to(response.headers_mut());
        }
        let Some(Caller(key)) = caller else { return response };
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        let parts = Arc::clone(&self.parts);
        response.map(|mut body| {
            if is_feed && !key.scopes.is_admin() {
                body = only_own(body, Arc::clone(&parts.owners), key.id.clone());
            }
            end_with_key(body, parts, key)
        })
    }
}

impl<A: ApiService> ApiService for AccessControl<A> {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        Box::pin(self.judge(head))
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.answer(request))
    }
}

impl AccessParts {
    /// The response to `GET /metrics` with the metrics of this stage.
    async fn with_metrics(&self, response: Response) -> Response {
        let (head, body) = response.into_parts();
        let bytes = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => {
                tracing::error!(%error, "the metrics were not read");
                return Problem::internal(&*error).into_response("");
            }
        };
        let text = self.metrics.append_to(&bytes, self.rate.clients()).await;
        Response::from_parts(head, full(text.unwrap_or(bytes)))
    }

    // ANCHOR: identify
    /// The key of a request. None if it has none, and none is needed so far.
    ///
    /// Attack: the time of a 401 tells a missing key from a wrong or a revoked one → each of them is
    /// looked up. Test: `every_refusal_looks_the_same`.
    async fn identify(&self, head: &Parts) -> Result<Option<Arc<KeyRecord>>, Problem> {
        let credential = credential(&head.headers);
        if credential == Credential::Absent {
            return Ok(None); // liveness and the pages need no database
        }
        let text = if let Credential::Bearer(text) = credential { text } else { "" };
        let key = self.keys.authenticate(text).await.map_err(|error| Problem::internal(&error))?;
        match (key, credential) {
            (Some(key), Credential::Bearer(_)) => Ok(Some(key)),
            _ => Err(self.unauthorized(head)),
        }
    }
    // ANCHOR_END: identify

    /// Checks that a request may do what its route does, and makes the key its principal.
    async fn authorize(
        &self,
        head: &mut Parts,
        caller: Option<Arc<KeyRecord>>,
    ) -> Result<(), Problem> {
        let route = head.extensions.get::<RouteMatch>().cloned();
        let template =
            route.as_ref().map_or_else(|| "".into(), |route| Arc::clone(&route.template));
        let access = (self.required)(&head.method, &template);
        let Some(key) = caller else {
            let is_free = self.is_open || access == Access::Public;
            if is_free {
                return Ok(());
            }
            // The lookup that a wrong key costs: a missing one takes as long.
            self.keys.authenticate("").await.ok();
            return Err(self.unauthorized(head));
        };
        if let Access::Scope(scope) = access
            && !key.scopes.allow(scope)
        {
            self.record(head, &key, actions::REFUSE, &format!("{} {template}", head.method));
            return Err(insufficient(scope));
        }
        if let Some(id) = route.as_ref().and_then(evaluation_id)
            && !self.owners.is_owner(&key.id, id).await?
        {
            if !key.scopes.is_admin() {
                return Err(EvaluationsError::NotFound.into());
            }
            self.record(
                head,
                &key,
                actions::ADMIN,
                &format!("{} {}", head.method, head.uri.path()),
            );
        }
        if let Some(context) = head.extensions.get_mut::<RequestContext>() {
            context.principal = Some(key.id.clone());
        }
        head.extensions.insert(Caller(key));
        Ok(())
    }

    /// What a request of a key is counted by.
    ///
    /// One step of an agent is several requests to a sandbox that it has: an execution, its output, a file. They are
    /// cheap, and their number is bounded by what the sandbox does. What costs a place is counted with the others.
    fn rate_of(&self, head: &Parts) -> &RateLimit {
        // Before the route is known, so that a request for none is counted as well.
        let rest = head.uri.path().strip_prefix("/sandboxes/").unwrap_or_default();
        if rest.is_empty() { &self.rate } else { &self.sandbox_rate }
    }

    fn record(&self, head: &Parts, key: &KeyRecord, action: &str, target: &str) {
        let Some(context) = head.extensions.get::<RequestContext>() else { return };
        let context = RequestContext { principal: Some(key.id.clone()), ..context.clone() };
        let detail = json!({ "scopes": key.scopes.names() });
        let entry = Entry::of(&context, action, target, &detail);
        if action == actions::REFUSE {
            self.audit.record_refused(entry);
        } else {
            self.audit.record_later(entry);
        }
    }

    /// The one problem of a missing, wrong, revoked or expired key. An address that has too many of
    /// them has to wait.
    fn unauthorized(&self, head: &Parts) -> Problem {
        let peer = head.extensions.get::<RequestContext>().and_then(|context| context.peer);
        let client = client_of(peer);
        if let Err(problem) = self.rate.check(&client).into_result() {
            return problem;
        }
        unauthorized()
    }
}

/// The evaluation that a route is about. A text that is no id is answered by the handler.
fn evaluation_id(route: &RouteMatch) -> Option<Uuid> {
    if !route.template.starts_with("/eval/{id}") {
        return None;
    }
    route.params.iter().find(|(name, _)| name == "id")?.1.parse().ok()
}

/// Makes the last entry of `X-Forwarded-For`, which the proxy has added, the peer of the request: streams are counted by
/// it, and the audit log has it. Without one the peer is the proxy.
///
/// Attack: a client sends the header itself, with another address each time → what is before the
/// last entry is not read. Test: `only_the_entry_of_the_proxy_counts`.
fn set_client(head: &mut Parts) {
    let Some(client) = forwarded_for(&head.headers) else { return };
    if let Some(context) = head.extensions.get_mut::<RequestContext>() {
        context.peer = Some(client);
    }
}

fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

fn with_rate(head: &Parts, problem: Problem) -> Problem {
    match head.extensions.get::<Rate>() {
        Some(Rate(status)) => status.on(problem),
        None => problem,
    }
}

/// The same stream, which ends when its key is no longer valid.
fn end_with_key(body: Body, parts: Arc<AccessParts>, key: Arc<KeyRecord>) -> Body {
    let ended = async move {
        loop {
            tokio::time::sleep(STREAM_CHECK_INTERVAL).await;
            match parts.keys.is_active(&key.id).await {
                Ok(true) => {}
                Ok(false) => return,
                // The next check may find out.
                Err(error) => tracing::warn!(%error, "the key of a stream was not checked"),
            }
        }
    };
    StreamBody::new(BodyStream::new(body).take_until(Box::pin(ended))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entry_of_the_proxy_counts() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            forwarded_for(&headers).map(|address| address.to_string())
        };
        assert_eq!(headers(&["192.0.2.7"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(headers(&["10.0.0.1, 192.0.2.7"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(headers(&["10.0.0.1", "192.0.2.7"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(headers(&["10.0.0.1, unknown"]), None);
        assert_eq!(headers(&[]), None);
        let peer = |forwarded: &str| {
            let request = http::Request::builder().header("x-forwarded-for", forwarded);
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let proxy = Some("127.0.0.1".parse().unwrap());
            head.extensions.insert(RequestContext { peer: proxy, ..RequestContext::internal() });
            set_client(&mut head);
            head.extensions.get::<RequestContext>().unwrap().peer.unwrap().to_string()
        };
        assert_eq!(peer("10.0.0.1, 192.0.2.7"), "192.0.2.7");
        assert_eq!(peer("unknown"), "127.0.0.1");
    }
}
