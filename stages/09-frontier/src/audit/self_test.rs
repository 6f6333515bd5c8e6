//! The audit log verifies itself: the newest rows of the live one, and on a scratch log that each change
//! is found.

use std::sync::Arc;

use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, TestCase, TestableComponent};

use super::chain::Entry;
use super::log::AuditLog;
use super::table::{self, AuditMismatch, Verified};
use crate::store::{Connection, DataDir, Store, StoreError};

/// Rows of the live log that are checked: a whole log is for `audit verify`.
const CHECKED_ROWS: i64 = 1000;

impl TestableComponent for AuditLog {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let checked = self.store.read(|database| table::verify_newest(database, CHECKED_ROWS));
            match checked.await.map_err(|error| error.to_string())? {
                Ok(Verified { rows, head }) => {
                    Ok(format!("row {} is the newest; {rows} were checked", head.number))
                }
                Err(mismatch) => Err(format!("the log was tampered with: {mismatch}").into()),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![TestCase::new("a changed, a removed and an inserted row are found", finds())]
    }
}

/// Changes a log of ten rows in each way, and verifies it.
async fn finds() -> CheckResult {
    let text = |error: StoreError| error.to_string();
    let changes = [
        ("nothing", "SELECT 1", true),
        ("a changed row", "UPDATE audit SET actor = 'other' WHERE number = 5", false),
        ("a removed row", "DELETE FROM audit WHERE number = 5", false),
        ("removed newest rows", "DELETE FROM audit WHERE number > 8", false),
        (
            "an inserted row",
            "INSERT INTO audit SELECT 11, time, actor, peer, request_id, action, target, detail,
                 previous, hash FROM audit WHERE number = 10",
            false,
        ),
    ];
    for (what, sql, is_whole) in changes {
        let store = Store::open(DataDir::scratch().map_err(text)?).map_err(text)?;
        let verified = Arc::clone(&store).write(move |database| {
            append_ten(database)?;
            database.execute_batch(sql)?;
            table::verify(database, None)
        });
        let verified: Result<Verified, AuditMismatch> = verified.await.map_err(text)?;
        if verified.is_ok() != is_whole {
            return Err(format!("{what}: {verified:?}"));
        }
    }
    Ok("four of four changes were found".to_owned())
}

fn append_ten(database: &Connection) -> Result<(), StoreError> {
    for number in 0..10 {
        let entry = Entry::of_command("self-test", &number.to_string(), &json!({}));
        table::append(database, &entry)?;
    }
    Ok(())
}
