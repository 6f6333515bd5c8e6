//! Tests of rule files.

use std::fs;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read(text: &str) -> Result<Rules, String> {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let path = directory.path().join("rules.toml");
    fs::write(&path, text.replace("SECRET", secret.to_str().unwrap())).unwrap();
    Rules::read(&path, &NetworkPolicy::default())
        .map_err(|error| shared::cli::BuildError::from(error).to_string())
}

#[test]
fn a_rule_is_a_webhook_or_a_line_of_the_log() {
    let rules = read(
        r#"
        [[rule]]
        name = "attacks"
        events = ["security.violation", "resource.*"]
        webhook = "https://example.org/alarm"
        secret_file = "SECRET"

        [[rule]]
        name = "failures"
        events = ["evaluation.failed"]
        log = "warn"
        "#,
    )
    .unwrap();
    let [webhook] = &rules.webhooks[..] else { panic!("{rules:?}") };
    assert_eq!((webhook.id.as_str(), webhook.sees_all), ("rule-attacks", true));
    assert_eq!(webhook.secret.as_ref().unwrap().reveal(), SECRET);
    assert_eq!(webhook.topics.len(), 2);
    assert_eq!((rules.lines.len(), rules.lines[0].level), (1, Level::Warn));
    assert!(read("").unwrap().webhooks.is_empty());
}

#[test]
fn a_bad_file_is_refused_with_what_is_wrong() {
    let rule = |rest: &str| format!("[[rule]]\nname = \"a\"\nevents = [\"*\"]\n{rest}\n");
    let hook = "webhook = \"https://example.org/\"\nsecret_file = \"SECRET\"";
    for (text, expected) in [
        ("rule = 1".to_owned(), "not valid"),
        (rule("lgo = \"warn\""), "unknown field `lgo`"),
        (rule("log = \"loud\""), "unknown variant `loud`"),
        (rule(""), "give either webhook and secret_file, or log"),
        (rule(&format!("{hook}\nlog = \"warn\"")), "give either"),
        (rule("webhook = \"https://example.org/\""), "give either"),
        (rule(&hook.replace("SECRET", "/nowhere")), "cannot read /nowhere"),
        (rule(&hook.replace("SECRET", "/dev/null")), "has no secret"),
        (rule(&hook.replace("example.org", "127.0.0.1")), "special addresses"),
        (rule(&hook.replace("https", "http")), "begins with https://"),
        (rule("log = \"info\"").replace('*', "evaluation.done"), "no event has the type"),
        (rule("log = \"info\"").replace("\"*\"", ""), "at least one"),
        (rule("log = \"info\"").replace("\"a\"", "\"A b\""), "lower-case letters"),
        (rule("log = \"info\"").repeat(2), "another rule has this name"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(expected) && error.contains("hint:"), "{text}: {error}");
    }
    let error = Rules::read(Path::new("/nowhere"), &NetworkPolicy::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn the_suite_passes() {
    use shared::TestableComponent as _;
    for case in RulesTest(Rules::default()).test_suite() {
        case.run.await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}
