//! Group commit, readers and refused writes, on databases of their own.

use std::sync::mpsc::channel;

use super::*;

fn store() -> Arc<Store> {
    Store::open(DataDir::scratch().unwrap()).unwrap()
}

fn count(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT count(*) FROM counters", [], |row| row.get(0))?)
}

fn insert(name: String) -> impl FnOnce(&Connection) -> Result<(), StoreError> {
    move |db| {
        db.execute("INSERT INTO counters VALUES (?1, 0)", [name])?;
        Ok(())
    }
}

#[tokio::test]
async fn writes_that_gather_share_a_commit() {
    let store = store();
    let before = store.stats();
    let (release, released) = channel::<()>();
    let first = store.write(move |_| Ok(released.recv().is_ok()));
    let writes: Vec<_> = (0..64).map(|number| store.write(insert(number.to_string()))).collect();
    release.send(()).unwrap();
    assert!(first.await.unwrap());
    for write in writes {
        write.await.unwrap();
    }
    let after = store.stats();
    assert_eq!(after.jobs - before.jobs, 65);
    // The first alone, or with all that waited for it.
    assert!(after.commits - before.commits <= 2, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_write_that_nothing_waits_for_comes_with_the_next_one() {
    let store = store();
    let before = store.stats();
    let behind = |delay: Duration, name: &str| {
        let (sender, receiver) = oneshot::channel();
        let then = |written: Result<(), StoreError>| {
            sender.send(written.is_ok()).ok();
        };
        store.writer.submit(delay, insert(name.to_owned()), then);
        receiver
    };
    let long = Duration::from_hours(1);
    let first = behind(long, "first");
    store.write(insert("second".to_owned())).await.unwrap();
    assert!(first.await.unwrap());
    assert_eq!(store.stats().commits - before.commits, 1, "both in one");
    // Alone it is not forgotten, and a later one that may wait longer does not make it wait.
    let (soon, late) = (behind(Duration::from_millis(1), "soon"), behind(long, "late"));
    assert!(soon.await.unwrap());
    let last = behind(long, "last");
    store.close().await;
    assert!(late.await.unwrap() && last.await.unwrap());
}

#[tokio::test]
async fn a_write_that_fails_or_panics_takes_nothing_of_its_neighbours_with_it() {
    let store = store();
    let before = store.read(count).await.unwrap();
    let fails = |name: &str| {
        let insert = insert(name.to_owned());
        move |db: &Connection| insert(db).and(Err::<(), _>(StoreError::Failpoint))
    };
    let panics = insert("panics".to_owned());
    let writes = [
        store.write(insert("good".to_owned())),
        store.write(fails("bad")),
        store.write(move |db| panics(db).map(|()| panic!("on purpose"))),
        store.write(insert("good".to_owned())), // a second time: a constraint
        store.write(insert("good too".to_owned())),
    ];
    let mut results = Vec::new();
    for write in writes {
        results.push(write.await.is_ok());
    }
    assert_eq!(results, [true, false, false, false, true]);
    assert_eq!(store.read(count).await.unwrap(), before + 2);
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_has_what_was_accepted() {
    let store = store();
    let write = store.write(insert("last".to_owned()));
    store.close().await;
    write.await.unwrap();
    assert!(matches!(store.write(count).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_reader_can_neither_write_nor_take_without_limit() {
    let store = store();
    assert!(store.read(insert("no".to_owned())).await.is_err());
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
                   SELECT count(*) FROM n";
    let query = |db: &Connection| Ok(db.query_row(endless, [], |row| row.get::<_, i64>(0))?);
    let stopped = store.read(query).await;
    assert!(matches!(stopped, Err(StoreError::TooSlow { .. })), "{stopped:?}");
    assert!(store.read(count).await.is_ok());
}

#[tokio::test]
async fn a_reader_that_starves_the_checkpoint_meets_the_limit_of_the_wal() {
    let max = 40 << 20;
    let store = Store::open_within(DataDir::scratch().unwrap(), max).unwrap();
    let reader = Connection::open(store.directory().database()).unwrap();
    let begin = || reader.execute_batch("BEGIN; SELECT count(*) FROM counters").unwrap();
    let end = || reader.execute_batch("COMMIT").unwrap();
    let accept = async || {
        let checked = Arc::clone(&store);
        let write = store.write(move |db| {
            checked.check_space()?;
            let sql = "INSERT INTO counters VALUES (hex(randomblob(262144)), 0)";
            db.execute(sql, []).map(drop).map_err(StoreError::from)
        });
        write.await
    };
    begin();
    let mut accepted = 0;
    let refused = loop {
        match accept().await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 200, "the WAL has {:?}", store.bytes());
    };
    assert!(matches!(refused, StoreError::LongWal { .. }), "{refused:?}");
    let long = store.bytes().1;
    assert!((max..max + (2 << 20)).contains(&long), "{long}");
    for _ in 0..10 {
        accept().await.unwrap_err();
    }
    assert_eq!(store.bytes().1, long, "what is refused does not make it longer");
    // Nothing but refused work comes after the end of the reader.
    end();
    let work_again = async {
        while accept().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), work_again).await.unwrap();
    assert!(store.bytes().1 < long);
}
