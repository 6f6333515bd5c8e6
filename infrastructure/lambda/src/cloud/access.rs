//! The layer that knows each client: as that of stage 09, with the keys of the table.
//!
//! There is no open mode here: every operation but the public ones needs a key, wherever the request comes from.

use std::sync::Arc;

use http::request::Parts;
use shared::http::{ApiService, BodyPolicy, Problem, Request, Response, RouteMatch};
use shared::{BoxFuture, EvaluationsError, RequestContext};
use stage_09_frontier::{
    Access, Credential, credential, insufficient, parse_idempotency_key, unauthorized,
};
use stage_10_frontier_events::required;
use uuid::Uuid;

use super::keys::KeyRecord;
use super::{Cloud, CloudError};

/// Knows the client of each request, and lets it do what its key allows.
pub(crate) struct AccessControl<A> {
    inner: A,
    cloud: Arc<Cloud>,
}

impl<A: ApiService> AccessControl<A> {
    pub(crate) fn new(inner: A, cloud: Arc<Cloud>) -> Self {
        Self { inner, cloud }
    }

    async fn judge(&self, head: &mut Parts) -> Result<BodyPolicy, Problem> {
        let caller = self.identify(head).await?;
        let idempotency_key = parse_idempotency_key(&head.headers);
        let admitted = self.inner.admit(head).await;
        // Of a route that exists the key is judged first: what is wrong with a request is for those who may make it.
        if admitted.is_ok() || head.extensions.get::<RouteMatch>().is_some() {
            self.authorize(head, caller).await?;
        }
        let policy = admitted?;
        let key = idempotency_key?;
        if let Some(context) = head.extensions.get_mut::<RequestContext>() {
            context.idempotency_key = key;
        }
        Ok(policy)
    }

    /// The key of a request. None if it has none, and none is needed so far.
    async fn identify(&self, head: &Parts) -> Result<Option<KeyRecord>, Problem> {
        let text = match credential(&head.headers) {
            Credential::Absent => return Ok(None),
            Credential::Bearer(text) => text,
            Credential::Malformed => return Err(unauthorized()),
        };
        let key = self.cloud.keys.authenticate(text).await?;
        key.map(Some).ok_or_else(unauthorized)
    }

    /// Checks that a request may do what its route does, and makes the key its principal.
    async fn authorize(&self, head: &mut Parts, caller: Option<KeyRecord>) -> Result<(), Problem> {
        let route = head.extensions.get::<RouteMatch>().cloned();
        let template = route.as_ref().map(|route| Arc::clone(&route.template));
        let access = required(&head.method, template.as_deref().unwrap_or_default());
        let Some(key) = caller else {
            return if access == Access::Public { Ok(()) } else { Err(unauthorized()) };
        };
        if let Access::Scope(scope) = access
            && !key.scopes.allow(scope)
        {
            return Err(insufficient(scope));
        }
        // Attack: the id of another key's evaluation → the answer is that of an id that nothing has. Test:
        // `a_key_sees_its_own_evaluations_only`.
        if let Some(id) = route.as_ref().and_then(evaluation_id)
            && !key.scopes.is_admin()
            && !self.is_owner(&key, id).await?
        {
            return Err(EvaluationsError::NotFound.into());
        }
        if let Some(context) = head.extensions.get_mut::<RequestContext>() {
            context.principal = Some(key.id);
        }
        Ok(())
    }

    async fn is_owner(&self, key: &KeyRecord, id: Uuid) -> Result<bool, CloudError> {
        let row = self.cloud.row(id).await?;
        Ok(row.is_some_and(|row| row.text("owner") == Some(&*key.id)))
    }
}

/// The evaluation that a route is about. A text that is no id is answered by the handler.
fn evaluation_id(route: &RouteMatch) -> Option<Uuid> {
    if !route.template.starts_with("/eval/{id}") {
        return None;
    }
    route.params.iter().find(|(name, _)| name == "id")?.1.parse().ok()
}

impl<A: ApiService> ApiService for AccessControl<A> {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        Box::pin(self.judge(head))
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        self.inner.call(request)
    }
}
