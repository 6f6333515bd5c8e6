//! Settings from a TOML file: what stands there becomes the default of its flag.
//!
//! So the order is that of clap: the command line goes before the environment, and the environment
//! before the file; `--help --config FILE` shows what is in force. A key is the name of a flag with
//! `_` for `-`. What is unknown or wrong is refused by its name: a misspelt limit that is ignored is
//! a limit that is not there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// What can only be said on the command line: where the file is, and that the host may be open.
const NOT_IN_A_FILE: [&str; 2] = ["config", "unsafe"];

/// What is wrong with a configuration file. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{} is not TOML", file.display())]
    NotToml {
        /// The file.
        file: PathBuf,
        /// Where, and what was expected.
        source: Box<toml::de::Error>,
    },
    /// It has a key that nothing is called by.
    #[error("{}: there is no setting `{key}`{}", file.display(), nearest.as_ref()
        .map_or_else(|| "; --help lists them all".to_owned(), |it| format!("; is it `{it}`?")))]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// The setting that is spelt most like it.
        nearest: Option<String>,
    },
    /// It has a key that does not belong there.
    #[error("{}: `{key}` can only be said on the command line", file.display())]
    NotHere {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// It has a value that the setting cannot have.
    #[error("{}: {key}: {reason}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
}

// ANCHOR: configure
/// The same command, with what the file that `arguments` or the environment name has as defaults.
///
/// # Errors
///
/// [`ConfigError`] when the file cannot be read, or has a key or a value that cannot be.
pub fn configure(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Command, ConfigError> {
    // Faults of the command line are left to the real parse. So is `--help`, which is served before
    // anything that can fail.
    let peek = command.clone().ignore_errors(true).try_get_matches_from(arguments);
    let Some(file) = peek.ok().and_then(|found| found.get_one::<PathBuf>("config").cloned()) else {
        return Ok(command);
    };
    let text = std::fs::read_to_string(&file)
        .map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
    let table: Table = toml::from_str(&text)
        .map_err(|source| ConfigError::NotToml { file: file.clone(), source: source.into() })?;
    table.iter().try_fold(command, |command, (key, value)| set(command, &file, key, value))
}
// ANCHOR_END: configure

/// Makes `value` the default of the flag that `key` names.
fn set(command: Command, file: &Path, key: &str, value: &Value) -> Result<Command, ConfigError> {
    let known = |arg: &&Arg| arg.get_long().is_some_and(|long| long.replace('-', "_") == key);
    let file = file.to_owned();
    let Some(arg) = command.get_arguments().find(known) else {
        let nearest = nearest(&command, key);
        return Err(ConfigError::Unknown { file, key: key.to_owned(), nearest });
    };
    if NOT_IN_A_FILE.contains(&key) {
        return Err(ConfigError::NotHere { file, key: key.to_owned() });
    }
    let values = texts(arg, value).and_then(|values| check(arg, &values).map(|()| values));
    let values =
        values.map_err(|reason| ConfigError::Invalid { file, key: key.to_owned(), reason })?;
    let id = arg.get_id().clone();
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
}

/// A value as it would stand on the command line.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let is_flag = !arg.get_action().takes_values();
    match value {
        Value::Boolean(value) if is_flag => Ok(vec![value.to_string()]),
        _ if is_flag => Err("give true or false".to_owned()),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(number) => Ok(vec![number.to_string()]),
        Value::Float(number) => Ok(vec![number.to_string()]),
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            let each = values.iter().map(|value| value.as_str().map(str::to_owned));
            each.collect::<Option<_>>().ok_or_else(|| "give a list of strings".to_owned())
        }
        other => {
            Err(format!("give a number or a string; this is of the type {}", other.type_str()))
        }
    }
}

/// Whether the flag takes these values: asked of the flag itself, alone on a command line.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    if !arg.get_action().takes_values() {
        return Ok(());
    }
    let long = arg.get_long().unwrap_or_default();
    let line = values.iter().map(|value| format!("--{long}={value}"));
    let alone = Command::new("file").no_binary_name(true).arg(arg.clone());
    alone.try_get_matches_from(line).map(|_fine| ()).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// The setting that is spelt most like `key`, if any is nearly like it.
fn nearest(command: &Command, key: &str) -> Option<String> {
    let names = command.get_arguments().filter_map(|arg| Some(arg.get_long()?.replace('-', "_")));
    let scored = names.map(|name| (strsim::jaro_winkler(&name, key), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
