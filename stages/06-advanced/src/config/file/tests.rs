//! A file, the environment and the command line, against each other.

use std::io::Write as _;

use clap::{CommandFactory, FromArgMatches, Parser};
use shared::cli::Settings;
use tempfile::NamedTempFile;

use super::*;
use crate::{EngineKind, PlatformArgs};

#[derive(Debug, Parser)]
#[command(name = "platform")]
struct All {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    platform: PlatformArgs,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn command(text: &str, arguments: &[&str]) -> (Result<Command, ConfigError>, Vec<OsString>) {
    let file = file(text);
    let mut line = vec![OsString::from("platform"), "--config".into(), file.path().into()];
    line.extend(arguments.iter().map(OsString::from));
    (configure(All::command(), line.clone(), &["keys"]), line)
}

fn all(text: &str, arguments: &[&str]) -> All {
    let (command, line) = command(text, arguments);
    let found = command.unwrap().try_get_matches_from(line).unwrap();
    All::from_arg_matches(&found).unwrap()
}

fn refusal(text: &str) -> String {
    let (refused, line) = command(text, &[]);
    let message = refused.unwrap_err().to_string();
    let name = line[2].to_string_lossy().into_owned();
    message.replace(&name, "FILE")
}

#[test]
fn what_the_file_says_is_the_default_of_the_flag() {
    let text = "engine = 'docker'\nworkers = 7\ntimeout_seconds = 2.5\nallow_remote = true\n\
                allow_host = ['a.example', 'b.example']\nallow_origin = ['http://a.example']\nlisten = '127.0.0.1:1'\n\
                storage_entries = 3\nimage = 'sha256:0'";
    let all = all(text, &[]);
    assert_eq!(all.platform.engine.engine, EngineKind::Docker);
    assert_eq!((all.settings.workers, all.platform.storage_entries), (7, 3));
    assert!((all.settings.timeout_seconds - 2.5).abs() < 1e-9 && all.settings.allow_remote);
    assert_eq!(all.settings.allow_host, ["a.example", "b.example"]);
    assert_eq!(all.settings.allow_origin, ["http://a.example"]);
    assert_eq!(all.settings.listen.unwrap().port(), 1);
    assert_eq!(all.platform.engine.docker.image.as_deref(), Some("sha256:0"));
}

#[test]
fn the_command_line_goes_before_the_file() {
    let text = "workers = 7\nengine = 'docker'\nallow_host = ['a.example']";
    let line = ["--workers", "2", "--engine=gvisor", "--allow-host", "b.example"];
    let all = all(text, &line);
    assert_eq!(all.settings.workers, 2);
    assert_eq!(all.platform.engine.engine, EngineKind::Gvisor);
    assert_eq!(all.settings.allow_host, ["b.example"]);
}

#[test]
fn what_is_unknown_is_refused_by_its_name() {
    for (text, message) in [
        ("worker = 1", "FILE: there is no setting `worker`; is it `workers`?"),
        ("quue_capacity = 1", "FILE: there is no setting `quue_capacity`; is it `queue_capacity`?"),
        ("zzz = 1", "FILE: there is no setting `zzz`; --help lists them all"),
        (
            "queue-capacity = 1",
            "FILE: there is no setting `queue-capacity`; is it `queue_capacity`?",
        ),
        ("help = true", "FILE: there is no setting `help`; --help lists them all"),
        (
            "[engine]\nname = 'docker'",
            "FILE: engine: give a number or a string; this is of the type table",
        ),
    ] {
        assert_eq!(refusal(text), message);
    }
}

#[test]
fn values_that_cannot_be_are_refused_by_their_key() {
    for (text, part) in [
        (
            "workers = 0",
            "FILE: workers: invalid value '0' for '--workers <N>': 0 is not in 1..=256",
        ),
        ("workers = 'many'", "FILE: workers: invalid value 'many'"),
        ("workers = true", "FILE: workers: give a number or a string; this is of the type boolean"),
        ("workers = [1]", "FILE: workers: give a number or a string; this is of the type array"),
        ("timeout_seconds = inf", "FILE: timeout_seconds: invalid value 'inf'"),
        ("timeout_seconds = 1979-05-27", "FILE: timeout_seconds: give a number or a string"),
        ("allow_remote = 'yes'", "FILE: allow_remote: give true or false"),
        ("allow_host = [1]", "FILE: allow_host: give a list of strings"),
        ("allow_origin = ['*']", "FILE: allow_origin: invalid value '*'"),
        ("engine = 'runc'", "FILE: engine: invalid value 'runc'"),
        ("workers = 1\nworkers = 2", "FILE is not TOML"),
        ("workers", "FILE is not TOML"),
    ] {
        let message = refusal(text);
        assert!(message.starts_with(part), "{text}: {message}");
    }
}

#[test]
fn the_host_is_opened_on_the_command_line_only() {
    let message = refusal("unsafe = true");
    assert_eq!(message, "FILE: `unsafe` can only be set on the command line");
    assert!(refusal("config = 'other.toml'").contains("`config` can only be set"));
    let unsafe_flag = All::command();
    let unsafe_flag = unsafe_flag.get_arguments().find(|arg| arg.get_long() == Some("unsafe"));
    assert_eq!(unsafe_flag.unwrap().get_env(), None);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let line = ["platform", "--config", "/nowhere.toml"].map(OsString::from);
    let error = configure(All::command(), line, &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file /nowhere.toml");
}

#[test]
fn help_and_errors_of_the_command_line_come_first() {
    for line in [&["platform", "--help", "--config", "/nowhere.toml"][..], &["platform"]] {
        assert!(
            configure(All::command(), line.iter().map(OsString::from), &[]).is_ok(),
            "{line:?}"
        );
    }
}

#[test]
fn every_setting_has_a_variable_but_those_that_loosen() {
    let command = All::command();
    let without: Vec<_> = command
        .get_arguments()
        .filter(|arg| arg.get_env().is_none())
        .filter_map(|arg| arg.get_long())
        .collect();
    assert_eq!(without, ["unsafe", "single-process"]);
}

#[test]
fn a_table_of_the_stage_is_read_by_the_stage_and_another_is_refused() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Key {
        name: String,
    }
    let text = "workers = 2\n[[keys]]\nname = \"a\"\n[[keys]]\nname = \"b\"\n";
    let with_tables = file(text);
    all(text, &[]);
    let keys: Vec<Key> = table(with_tables.path(), "keys").unwrap().unwrap();
    assert_eq!(keys.iter().map(|key| &*key.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(table::<Vec<Key>>(with_tables.path(), "webhooks").unwrap().map(|_| ()), None);
    let wrong = table::<u32>(with_tables.path(), "keys").unwrap_err().to_string();
    assert!(wrong.contains("keys"), "{wrong}");
    assert!(refusal("[webhooks]\nurl = \"x\"\n").contains("there is no setting `webhooks`"));
}
