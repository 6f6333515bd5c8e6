//! Tests of the records, on a database.

use super::*;
use crate::store::DataDir;

async fn begin(
    idempotency: &Idempotency,
    owner: &str,
    key: &str,
    request: &str,
) -> Result<Begin, u16> {
    let plan = (Kind::Evaluation, Uuid::now_v7());
    idempotency.begin(Some(owner), key, &request, plan).await.map_err(|error| match error {
        EvaluationsError::Refused(refusal) => refusal.status.as_u16(),
        other => panic!("{other:?}"),
    })
}

fn idempotency() -> Arc<Idempotency> {
    Idempotency::new(Store::open(DataDir::scratch().unwrap()).unwrap(), 1)
}

async fn record(idempotency: &Idempotency, owner: &str, key: &str, request: &str) -> Record {
    match begin(idempotency, owner, key, request).await {
        Ok(Begin::New(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let idempotency = idempotency();
    let first = record(&idempotency, "a", "k", "x").await;
    assert_eq!(begin(&idempotency, "a", "k", "x").await, Err(409), "still being accepted");
    assert_eq!(begin(&idempotency, "a", "k", "y").await, Err(422));
    idempotency.complete(first).await;
    let Ok(Begin::Replay(id)) = begin(&idempotency, "a", "k", "x").await else { panic!() };
    assert_eq!(begin(&idempotency, "a", "k", "x").await, Ok(Begin::Replay(id)));
    assert_eq!(begin(&idempotency, "a", "k", "y").await, Err(422));
    // Another kind of request is another request.
    let batch = (Kind::Batch, Uuid::now_v7());
    assert!(idempotency.begin(Some("a"), "k", &"x", batch).await.is_err());
}

#[tokio::test]
async fn a_refused_request_leaves_no_record() {
    let idempotency = idempotency();
    let refused = record(&idempotency, "a", "k", "x").await;
    idempotency.forget(refused.clone()).await;
    let second = record(&idempotency, "a", "k", "other").await;
    idempotency.complete(second).await;
    // Forgetting late does not remove what was completed.
    idempotency.forget(refused).await;
    assert!(matches!(begin(&idempotency, "a", "k", "other").await, Ok(Begin::Replay(_))));
}

#[tokio::test]
async fn an_end_that_cannot_be_written_is_not_lost() {
    let idempotency = idempotency();
    let made = record(&idempotency, "a", "made", "x").await;
    let refused = record(&idempotency, "a", "refused", "x").await;
    let unused = record(&idempotency, "a", "unused", "x").await;
    let schema = async |sql: &'static str| {
        idempotency.store.write(|database| Ok(database.execute_batch(sql)?)).await.unwrap();
    };
    for step in ["UPDATE", "DELETE"] {
        let trigger = format!(
            "CREATE TRIGGER full_{step} BEFORE {step} ON idempotency \
             BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        );
        schema(trigger.leak()).await;
    }
    idempotency.complete(made).await;
    idempotency.forget(refused).await;
    idempotency.forget(unused).await;
    // Nothing is decided wrongly meanwhile, and what waits goes on waiting.
    let plan = (Kind::Evaluation, Uuid::now_v7());
    for key in ["made", "refused"] {
        let answer = idempotency.begin(Some("a"), key, &"x", plan).await;
        assert!(matches!(answer, Err(EvaluationsError::Internal(_))), "{answer:?}");
    }
    assert_eq!(idempotency.unwritten().len(), 3);
    schema("DROP TRIGGER full_UPDATE; DROP TRIGGER full_DELETE").await;
    assert!(matches!(begin(&idempotency, "a", "made", "x").await, Ok(Begin::Replay(_))));
    record(&idempotency, "a", "refused", "x").await;
    // The record of a key that never comes back is removed as well.
    idempotency.purge().await.unwrap();
    assert!(idempotency.unwritten().is_empty());
    record(&idempotency, "a", "unused", "another request").await;
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_its_api_key() {
    let idempotency = idempotency();
    let first = record(&idempotency, "a", "k", "x").await;
    idempotency.complete(first).await;
    let Ok(Begin::Replay(theirs)) = begin(&idempotency, "a", "k", "x").await else { panic!() };
    let own = record(&idempotency, "b", "k", "x").await;
    idempotency.complete(own).await;
    let Ok(Begin::Replay(own)) = begin(&idempotency, "b", "k", "x").await else { panic!() };
    assert_ne!(theirs, own);
    // Owner and key cannot be shifted into each other.
    record(&idempotency, "ak", "", "x").await;
    record(&idempotency, "", "ak", "x").await;
}

#[tokio::test]
async fn parallel_requests_make_one_thing() {
    let idempotency = idempotency();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let idempotency = Arc::clone(&idempotency);
            tokio::spawn(async move { begin(&idempotency, "a", "k", "x").await })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(Begin::New(_)) => new += 1,
            other => assert_eq!(other, Err(409)),
        }
    }
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_crash_leaves_no_record_that_is_pending() {
    let idempotency = idempotency();
    record(&idempotency, "a", "lost", "x").await;
    record(&idempotency, "a", "accepted", "x").await;
    // The evaluation of the second was committed before the crash.
    let insert = "INSERT INTO evaluations (id, status, owner, attempt, submitted_at, record, bytes) \
                  SELECT resource, 'queued', 'a', 1, 0, '{}', 0 FROM idempotency WHERE key = ?1";
    let key = <[u8; 32]>::from(Sha256::digest("accepted"));
    let inserted = idempotency.store.write(move |database| Ok(database.execute(insert, [key])?));
    assert_eq!(inserted.await.unwrap(), 1);
    idempotency.recover().await.unwrap();
    record(&idempotency, "a", "lost", "x").await;
    assert!(matches!(begin(&idempotency, "a", "accepted", "x").await, Ok(Begin::Replay(_))));
}

#[tokio::test]
async fn old_records_are_removed() {
    let idempotency = idempotency();
    for key in 0..20 {
        let record = record(&idempotency, "a", &key.to_string(), "x").await;
        idempotency.complete(record).await;
    }
    let aged = idempotency.store.write(|database| {
        let age = "UPDATE idempotency SET created_at = created_at - 3600000000 \
                   WHERE key < x'80'";
        Ok(database.execute(age, [])?)
    });
    let aged = aged.await.unwrap();
    idempotency.purge().await.unwrap();
    let count = "SELECT count(*) FROM idempotency";
    let left = idempotency.store.read(move |database| {
        let left: i64 = database.query_row(count, [], |row| row.get(0))?;
        Ok(left)
    });
    assert_eq!(usize::try_from(left.await.unwrap()).unwrap(), 20 - aged);
    // A key whose time is over can be used again, for anything.
    let old = idempotency
        .store
        .write(|database| Ok(database.execute("UPDATE idempotency SET created_at = 1", [])?));
    old.await.unwrap();
    record(&idempotency, "a", "0", "another request").await;
}
