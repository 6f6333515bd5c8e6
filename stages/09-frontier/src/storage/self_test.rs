//! The storage verifies itself.

use std::sync::Arc;

use super::SqliteStorage;
use crate::store::Counters;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, TestCase, TestableComponent};

impl TestableComponent for SqliteStorage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let store = Arc::clone(&self.inner.store);
            let counted = self.inner.store.write(move |db| {
                store.check_space()?;
                Counters::read(db)
            });
            let counted = counted.await;
            let Counters { entries, bytes } = counted.map_err(|error| error.to_string())?;
            Ok(format!("{entries} evaluations in about {bytes} bytes, on disk"))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = stage_06_advanced::storage_suite(self);
        suite.push(TestCase::new("the counters are the real ones", self.counts()));
        suite
    }
}

impl SqliteStorage {
    async fn counts(&self) -> CheckResult {
        let counters = self.inner.store.read(|db| {
            let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM evaluations
                       WHERE outcome IS NOT NULL";
            let stored: (i64, i64) = db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((Counters::read(db)?, stored))
        });
        let (counted, (entries, bytes)) = counters.await.map_err(|error| error.to_string())?;
        let real = Counters {
            entries: usize::try_from(entries).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
        };
        if counted == real {
            Ok(format!("{entries} evaluations in {bytes} bytes"))
        } else {
            Err(format!("counted are {counted:?}, stored are {real:?}"))
        }
    }
}
