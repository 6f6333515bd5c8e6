//! What the database does here, as a figure: `just simulate`.

use futures_util::{StreamExt as _, stream};
use stage_09_frontier::Store;

/// What the writer of the database does here with changes of the size that the simulation has shown.
#[tokio::test]
async fn changes_of_the_database_in_a_second() {
    const CHANGES: u64 = 8_000;
    const CHANGE_BYTES: usize = 1_500;
    let store = Store::scratch().unwrap();
    let table = "CREATE TABLE figures (id INTEGER PRIMARY KEY, body BLOB)";
    store.write(move |db| Ok(db.execute_batch(table)?)).await.unwrap();
    for at_once in [1, 16, 256] {
        let (before, started) = (store.stats(), std::time::Instant::now());
        let insert = async |_| {
            let insert = "INSERT INTO figures (body) VALUES (?1)";
            let body = vec![7_u8; CHANGE_BYTES];
            let write = store.write(move |db| Ok(db.prepare_cached(insert)?.execute([body])?));
            write.await.unwrap()
        };
        let count = if at_once == 1 { CHANGES / 8 } else { CHANGES };
        stream::iter(0..count).map(insert).buffer_unordered(at_once).collect::<Vec<_>>().await;
        let commits = store.stats().commits - before.commits;
        let a_second =
            |count: u64| u128::from(count) * 1_000 / started.elapsed().as_millis().max(1);
        println!(
            "{at_once:4} at once: {:6} changes and {:5} transactions a second",
            a_second(count),
            a_second(commits)
        );
    }
    store.close().await;
}
