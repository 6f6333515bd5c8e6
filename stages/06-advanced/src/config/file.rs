//! Settings from a TOML file: each value becomes the default of its flag.
//!
//! So the precedence is that of clap: the command line overrides the environment, and the environment
//! overrides the file; `--help --config FILE` shows the effective values. A key is the name of a flag
//! with `_` for `-`. An unknown key or an invalid value is refused by its name: a misspelt limit that is
//! ignored is a limit that is not set. A stage that has tables of its own names them to [`configure`],
//! and reads each with [`table`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use serde::de::DeserializeOwned;
use shared::Hint;
use toml::{Table, Value};

/// Flags that no file can set: the path of the file, and those that give up a protection.
const COMMAND_LINE_ONLY: [&str; 3] = ["config", "unsafe", "single_process"];

/// An error in a configuration file. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the system.
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
    /// It has a key that is no setting.
    #[error("{}: there is no setting `{key}`{}", file.display(), nearest.as_ref()
        .map_or_else(|| "; --help lists them all".to_owned(), |name| format!("; is it `{name}`?")))]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// The setting with the most similar name.
        nearest: Option<String>,
    },
    /// It has a key that only the command line can set.
    #[error("{}: `{key}` can only be set on the command line", file.display())]
    CommandLineOnly {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// It has an invalid value.
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

impl Hint for ConfigError {}

// ANCHOR: configure
/// The same command, with the values of the configuration file as defaults. The file is the one that
/// `arguments` or the environment name. `own_tables` are the tables that the stage reads itself.
///
/// # Errors
///
/// [`ConfigError`] when the file cannot be read, or has an unknown key or an invalid value.
pub fn configure(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
    own_tables: &[&str],
) -> Result<Command, ConfigError> {
    // Errors of the command line are left to the real parse. So is `--help`, which is answered before
    // anything that can fail.
    let peek = command.clone().ignore_errors(true).try_get_matches_from(arguments);
    let Some(file) = peek.ok().and_then(|found| found.get_one::<PathBuf>("config").cloned()) else {
        return Ok(command);
    };
    let settings = read(&file)?;
    let settings = settings.iter().filter(|(key, _)| !own_tables.contains(&key.as_str()));
    settings.into_iter().try_fold(command, |command, (key, value)| set(command, &file, key, value))
}
// ANCHOR_END: configure

/// A table, or an array of tables, that the stage has for itself. None when the file has none of this
/// name.
///
/// # Errors
///
/// [`ConfigError`] when the file cannot be read, or the table has another shape than `T`.
pub fn table<T: DeserializeOwned>(file: &Path, name: &str) -> Result<Option<T>, ConfigError> {
    let invalid = |source: toml::de::Error| ConfigError::Invalid {
        file: file.to_owned(),
        key: name.to_owned(),
        reason: source.message().to_owned(),
    };
    read(file)?.remove(name).map(|value| value.try_into().map_err(invalid)).transpose()
}

fn read(file: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| ConfigError::NotToml { file: file.to_owned(), source: source.into() })
}

/// Makes `value` the default of the flag that `key` names.
fn set(command: Command, file: &Path, key: &str, value: &Value) -> Result<Command, ConfigError> {
    let known = |arg: &&Arg| arg.get_long().is_some_and(|long| long.replace('-', "_") == key);
    let file = file.to_owned();
    let Some(arg) = command.get_arguments().find(known) else {
        let nearest = nearest(&command, key);
        return Err(ConfigError::Unknown { file, key: key.to_owned(), nearest });
    };
    if COMMAND_LINE_ONLY.contains(&key) {
        return Err(ConfigError::CommandLineOnly { file, key: key.to_owned() });
    }
    let values = texts(arg, value).and_then(|values| check(arg, &values).map(|()| values));
    let values =
        values.map_err(|reason| ConfigError::Invalid { file, key: key.to_owned(), reason })?;
    let id = arg.get_id().clone();
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
}

/// A value in the form of the command line.
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

/// Whether the flag accepts these values: the flag parses them, alone on a command line.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    if !arg.get_action().takes_values() {
        return Ok(());
    }
    let long = arg.get_long().unwrap_or_default();
    let line = values.iter().map(|value| format!("--{long}={value}"));
    let alone = Command::new("file").no_binary_name(true).arg(arg.clone());
    alone.try_get_matches_from(line).map(drop).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// The setting with the name most similar to `key`, if one is similar enough.
fn nearest(command: &Command, key: &str) -> Option<String> {
    let names = command.get_arguments().filter_map(|arg| Some(arg.get_long()?.replace('-', "_")));
    let scored = names.map(|name| (strsim::jaro_winkler(&name, key), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(similarity, _)| *similarity > 0.8).map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
