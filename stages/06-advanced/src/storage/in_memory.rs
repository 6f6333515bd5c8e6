//! A storage in memory, bounded by number and by bytes. A restart forgets it.

use std::future::ready;
use std::sync::Arc;

use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{
    BoxFuture, Evaluation, Event, EventSink, EventType, NoopSink, Page, Query, TestCase,
    TestableComponent,
};
use stage_02_queue::{Archive, ArchiveError, ArchiveLimits, InMemoryArchive};
use uuid::Uuid;

use super::{StorageService, StorageUsage, conformance};

/// The bounded in-memory archive of stage 2, with events and usage counters.
pub struct InMemoryStorage {
    archive: InMemoryArchive,
    events: Arc<dyn EventSink>,
}

impl InMemoryStorage {
    /// An empty storage that emits to `events`.
    pub fn new(limits: ArchiveLimits, events: Arc<dyn EventSink>) -> Self {
        Self { archive: InMemoryArchive::new(limits), events }
    }

    fn emit_deleted(&self, id: Uuid, reason: &str) {
        let data = json!({ "reason": reason });
        self.events.emit(Event::now(EventType::StorageDeleted, Some(id), data));
    }
}

// ANCHOR: insert
impl Archive for InMemoryStorage {
    fn insert(&self, ended: Evaluation) {
        let id = ended.id;
        let removed = self.archive.store(ended);
        self.events.emit(Event::now(EventType::StorageSaved, Some(id), json!({})));
        for id in removed {
            self.emit_deleted(id, "room");
        }
    }

    fn get(&self, id: Uuid) -> BoxFuture<'_, Result<Option<Evaluation>, ArchiveError>> {
        self.archive.get(id)
    }

    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, ArchiveError>> {
        self.archive.list(query)
    }
}
// ANCHOR_END: insert

impl StorageService for InMemoryStorage {
    fn delete(&self, id: Uuid) -> BoxFuture<'_, Result<bool, ArchiveError>> {
        let deleted = self.archive.remove(id);
        if deleted {
            self.emit_deleted(id, "asked");
        }
        Box::pin(ready(Ok(deleted)))
    }

    fn scratch(
        &self,
        events: Arc<dyn EventSink>,
    ) -> BoxFuture<'_, Result<Arc<dyn StorageService>, ArchiveError>> {
        let scratch: Arc<dyn StorageService> = Arc::new(Self::new(self.archive.limits(), events));
        Box::pin(ready(Ok(scratch)))
    }

    fn usage(&self) -> StorageUsage {
        let (usage, limits) = (self.archive.usage(), self.archive.limits());
        StorageUsage {
            entries: usage.entries,
            max_entries: limits.entries,
            bytes: usage.bytes,
            max_bytes: limits.bytes,
        }
    }
}

impl TestableComponent for InMemoryStorage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let usage = self.archive.check_invariants().map_err(|error| error.to_string())?;
            Ok(format!("{} evaluations in about {} bytes", usage.entries, usage.bytes))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = conformance::suite(self);
        suite.push(TestCase::new("the first to end makes room", async { self.makes_room() }));
        suite
    }
}

impl InMemoryStorage {
    /// On a storage with two slots.
    fn makes_room(&self) -> CheckResult {
        let limits = ArchiveLimits { entries: 2, bytes: self.archive.limits().bytes };
        let scratch = Self::new(limits, Arc::new(NoopSink));
        let [first, second, third] = [1, 2, 3].map(|_| conformance::sample("room"));
        for one in [&first, &second, &third] {
            scratch.insert(one.clone());
        }
        let stored = [&first, &second, &third].map(|one| scratch.archive.find(one.id).is_some());
        if stored == [false, true, true] {
            Ok("of three in two slots, the first was removed".to_owned())
        } else {
            Err(format!("of three in two slots, these stayed: {stored:?}"))
        }
    }
}
