//! A storage in memory, bounded by count and by bytes. A restart forgets it.

use std::sync::Arc;

use serde_json::json;
use shared::component::CheckResult;
use shared::{
    BoxFuture, Evaluation, Event, EventSink, EventType, Page, Query, TestCase, TestableComponent,
};
use stage_02_queue::{Archive, ArchiveLimits, InMemoryArchive};
use uuid::Uuid;

use crate::storage::{StorageService, Usage};
use crate::storage_suite;

/// The bounded archive of stage 2, which says what it keeps and what it lets go.
pub struct InMemoryStorage {
    recent: InMemoryArchive,
    events: Arc<dyn EventSink>,
}

impl InMemoryStorage {
    /// An empty storage that tells `events` what it does.
    pub fn new(bounds: ArchiveLimits, events: Arc<dyn EventSink>) -> Self {
        Self { recent: InMemoryArchive::new(bounds), events }
    }

    fn tell_deleted(&self, id: Uuid, reason: &str) {
        let data = json!({ "reason": reason });
        self.events.emit(Event::now(EventType::StorageDeleted, Some(id), data));
    }
}

// ANCHOR: keep
impl Archive for InMemoryStorage {
    fn keep(&self, ended: Evaluation) {
        let id = ended.id;
        let gone = self.recent.put(ended);
        self.events.emit(Event::now(EventType::StorageSaved, Some(id), json!({})));
        for id in gone {
            self.tell_deleted(id, "room");
        }
    }

    fn get(&self, id: Uuid) -> Option<Evaluation> {
        self.recent.get(id)
    }

    fn list(&self, query: &Query) -> Page {
        self.recent.list(query)
    }
}
// ANCHOR_END: keep

impl StorageService for InMemoryStorage {
    fn delete(&self, id: Uuid) -> bool {
        let deleted = self.recent.remove(id);
        if deleted {
            self.tell_deleted(id, "asked");
        }
        deleted
    }

    fn usage(&self) -> Usage {
        let (held, bounds) = (self.recent.held(), self.recent.bounds());
        Usage {
            entries: held.entries,
            max_entries: bounds.entries,
            bytes: held.bytes,
            max_bytes: bounds.bytes,
        }
    }
}

impl TestableComponent for InMemoryStorage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async {
            let held = self.recent.audit()?;
            Ok(format!("{} evaluations in about {} bytes", held.entries, held.bytes))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = storage_suite::suite(self);
        suite.push(TestCase::new("the first to end makes room", async { self.makes_room() }));
        suite
    }
}

impl InMemoryStorage {
    /// On a storage of its own, with two places, so that the live one loses nothing.
    fn makes_room(&self) -> CheckResult {
        let bounds = ArchiveLimits { entries: 2, bytes: self.recent.bounds().bytes };
        let scratch = Self::new(bounds, Arc::new(()));
        let [first, second, third] = [1, 2, 3].map(|_| storage_suite::sample("room"));
        for one in [&first, &second, &third] {
            scratch.keep(one.clone());
        }
        let kept = [&first, &second, &third].map(|one| scratch.get(one.id).is_some());
        if kept == [false, true, true] {
            Ok("of three in two places, the first went".to_owned())
        } else {
            Err(format!("of three in two places, these stayed: {kept:?}"))
        }
    }
}
