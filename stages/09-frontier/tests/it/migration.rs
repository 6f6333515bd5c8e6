//! Databases of every schema that was released: each is opened, brought to the present one, and whole.

use std::path::Path;

use serde_json::json;

use crate::stage;
use crate::storage::command;

#[tokio::test]
async fn every_earlier_schema_is_brought_to_the_present_one() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut count = 0;
    for fixture in std::fs::read_dir(fixtures).unwrap() {
        let fixture = fixture.unwrap().path();
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(&fixture, directory.path().join("crucible.db")).unwrap();
        let server = stage::start(directory.path());
        let client = server.client();
        let page = client.get("/eval?label=fixture:yes").await.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), 2, "{}: {page}", fixture.display());
        let outcomes = [&items[0]["outcome"], &items[1]["outcome"]];
        assert_eq!(outcomes, [&json!("exited"), &json!("worker_lost")], "{page}");
        assert_eq!(client.run("print('new')").await["stdout"]["text"], "new\n");
        assert_eq!(server.stop(), Some(0));
        let (code, report) = command(directory.path(), &["doctor"]);
        assert_eq!(code, Some(0), "{report}");
        count += 1;
    }
    assert!(count >= 1);
}
