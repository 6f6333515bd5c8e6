//! Which principal an evaluation belongs to.
//!
//! The owner of an evaluation never changes, so that it is remembered as long as there is room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{EvaluationsError, RequestContext};
use stage_06_advanced::Queue;
use uuid::Uuid;

/// Evaluations whose owners are remembered. The owner of any other is looked up.
const MAX_REMEMBERED: usize = 20_000;

/// The owners of evaluations.
pub struct Owners {
    evaluations: Arc<dyn Queue>,
    /// Ties the owners to the order in which they came: both have the same ids.
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    owners: HashMap<Uuid, Option<Arc<str>>>,
    order: VecDeque<Uuid>,
}

impl Owners {
    /// The owners of `evaluations`.
    pub fn new(evaluations: Arc<dyn Queue>) -> Arc<Self> {
        Arc::new(Self { evaluations, remembered: Mutex::default() })
    }

    /// Whether the evaluation with this id belongs to `principal`. False when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be looked up.
    pub async fn is_owner(&self, principal: &str, id: Uuid) -> Result<bool, EvaluationsError> {
        let known = self.remembered().owners.get(&id).cloned();
        if let Some(owner) = known {
            return Ok(owner.as_deref() == Some(principal));
        }
        match self.evaluations.get(&RequestContext::internal(), id).await {
            Ok(evaluation) => {
                let is_owner = evaluation.owner.as_deref() == Some(principal);
                self.remember(id, evaluation.owner.as_deref());
                Ok(is_owner)
            }
            Err(EvaluationsError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Remembers the owner of an evaluation that was just accepted.
    pub fn remember(&self, id: Uuid, owner: Option<&str>) {
        let mut remembered = self.remembered();
        if remembered.owners.insert(id, owner.map(Arc::from)).is_none() {
            remembered.order.push_back(id);
        }
        if remembered.order.len() > MAX_REMEMBERED
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.owners.remove(&oldest);
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // No code panics while it holds the lock.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
