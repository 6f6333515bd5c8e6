//! What administrators read: keys and the audit log, page by page.

use super::Tenants;

#[tokio::test]
async fn an_administrator_lists_keys_and_nobody_else_does() {
    let Tenants { site, server, alice, admin, .. } = Tenants::new();
    site.output(&["keys", "revoke", &site.id_of("mallory")]);
    for path in ["/keys", "/audit"] {
        assert_eq!(alice.get(path).await.status, 403, "{path}");
        assert_eq!(server.client().get(path).await.status, 401, "{path}");
    }
    let keys = admin.get("/keys").await;
    assert!(!keys.text().contains("crk_"), "{keys:?}");
    let mut seen = Vec::new();
    let mut path = "/keys?limit=2".to_owned();
    loop {
        let page = admin.get(&path).await.json();
        for key in page["items"].as_array().unwrap() {
            seen.push((key["name"].clone(), key["state"].clone(), key["scopes"].clone()));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/keys?limit=2&cursor={cursor}");
    }
    let expected = serde_json::json!([
        ["admin", "active", ["admin"]],
        ["mallory", "revoked", ["submit", "read"]],
        ["alice", "active", ["submit", "read"]],
    ]);
    assert_eq!(serde_json::to_value(seen).unwrap(), expected);
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page_while_it_grows() {
    let Tenants { alice, admin, site: _site, server: _server, .. } = Tenants::new();
    for number in 0..5 {
        alice.run(&format!("print({number})")).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/audit?limit=3".to_owned());
    loop {
        let page = admin.get(&path).await.json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|row| row["number"].as_i64().unwrap()),
        );
        // What is appended meanwhile is not on these pages.
        alice.run("print('later')").await;
        let Some(cursor) = page["next_cursor"].as_i64() else { break };
        path = format!("/audit?limit=3&cursor={cursor}");
    }
    let newest = seen[0];
    assert_eq!(seen, (1..=newest).rev().collect::<Vec<_>>());
    assert!(newest >= 8, "three keys and five programs: {seen:?}");
}

#[tokio::test]
async fn a_wrong_page_is_refused() {
    let Tenants { admin, site: _site, server: _server, .. } = Tenants::new();
    for path in ["/keys", "/audit"] {
        for query in
            ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=", "other=1", "limit=1&limit=2"]
        {
            let answer = admin.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path} {query}: {answer:?}");
        }
    }
}
