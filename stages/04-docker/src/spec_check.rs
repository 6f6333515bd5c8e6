//! Compares a live container with the specification that was ordered, field by field.
//!
//! The rule it keeps: what Docker reports about a container is what was ordered, and nothing beside
//! it. A field that was not set has to be empty, or Docker's own default, so that a capability, a
//! mount or a device that was added on the way is found although this module does not know it.
//! Test: `every_difference_is_found`.

use std::path::Path;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, MountPoint};
use serde_json::{Map, Value, json};

/// Docker's defaults of fields that are not set, where they are not empty.
fn is_default(field: &str, value: &Value) -> bool {
    match field {
        // Unused: no container has an `IpcMode` with this size.
        "ShmSize" => *value == json!(64 << 20),
        "Isolation" | "IpcMode" => *value == json!("default"),
        "MemorySwappiness" => *value == json!(-1),
        "Init" | "OomKillDisable" => *value == json!(false),
        _ => false,
    }
}

/// Fields with a map whose names are Docker's.
const RECORDS: [&str; 2] = ["LogConfig", "RestartPolicy"];
/// Fields with names of capabilities.
const CAPABILITIES: [&str; 2] = ["CapAdd", "CapDrop"];
/// The fields of the configuration that are compared: all that concern isolation. `Env` and `Labels`
/// may have more, from the image.
const CONFIG: [&str; 16] = [
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Cmd",
    "Domainname",
    "Entrypoint",
    "ExposedPorts",
    "Healthcheck",
    "Hostname",
    "Image",
    "OpenStdin",
    "StdinOnce",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
];

// ANCHOR: compare
/// The first difference between what was ordered and what Docker reports, as a sentence.
pub(crate) fn difference(
    ordered: &ContainerCreateBody,
    live: &ContainerInspectResponse,
) -> Option<String> {
    field_difference(ordered, live)
        .or_else(|| foreign_mount(live, None))
        .or_else(|| foreign_network(live))
}
// ANCHOR_END: compare

/// The same for a container that stays, in which one file of the host is mounted.
pub(crate) fn kept_difference(
    ordered: &ContainerCreateBody,
    live: &ContainerInspectResponse,
    mounted: (&Path, &str),
) -> Option<String> {
    field_difference(ordered, live)
        .or_else(|| foreign_mount(live, Some(mounted)))
        .or_else(|| foreign_network(live))
}

fn field_difference(
    ordered: &ContainerCreateBody,
    live: &ContainerInspectResponse,
) -> Option<String> {
    let to_map = |value: serde_json::Result<Value>| match value {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let ordered_host = to_map(serde_json::to_value(&ordered.host_config));
    let live_host = to_map(serde_json::to_value(&live.host_config));
    let ordered_config = to_map(serde_json::to_value(ordered));
    let live_config = to_map(serde_json::to_value(&live.config));
    let host_fields = ordered_host.keys().chain(live_host.keys());
    let in_host = host_fields.map(|field| (field.as_str(), &ordered_host, &live_host));
    let in_config = CONFIG.map(|field| (field, &ordered_config, &live_config));
    for (field, ordered, live) in in_host.chain(in_config) {
        let of = |map: &Map<String, Value>| named(field, map.get(field).unwrap_or(&Value::Null));
        let (ordered, live) = (of(ordered), of(live));
        let is_default = is_empty(&ordered) && is_default(field, &live);
        if !is_same(field, &ordered, &live) && !is_default {
            return Some(format!(
                "{field} of a container is {}, not {}",
                short(&live),
                short(&ordered)
            ));
        }
    }
    missing_entry("Env", &ordered_config, &live_config)
        .or_else(|| missing_entry("Labels", &ordered_config, &live_config))
}

/// A value, with the names of capabilities as they were ordered: Docker may put `CAP_` before them.
fn named(field: &str, value: &Value) -> Value {
    match value {
        Value::Array(names) if CAPABILITIES.contains(&field) => {
            let plain = |name: &Value| {
                Value::from(name.as_str().map(|name| name.trim_start_matches("CAP_")))
            };
            names.iter().map(plain).collect()
        }
        value => value.clone(),
    }
}

/// Whether two values are the same, where a missing one and an empty one are. In most maps a name is
/// something by itself, even without a value.
fn is_same(field: &str, one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if RECORDS.contains(&field) => {
            one.keys().chain(other.keys()).all(|key| {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                is_same(key, &of(one), &of(other))
            })
        }
        (one, other) => one == other || (is_empty(one) && is_empty(other)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        // The size of a console that there is not is [0, 0].
        Value::Array(values) => values.iter().all(|value| *value == json!(0)),
        Value::Object(map) => map.is_empty(),
    }
}

/// An entry of a list or a map that the live container lacks.
fn missing_entry(
    field: &str,
    ordered: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Option<String> {
    let missing = match (ordered.get(field)?, live.get(field).unwrap_or(&Value::Null)) {
        (Value::Array(ordered), live) => {
            let has = |entry| live.as_array().is_some_and(|live| live.contains(entry));
            ordered.iter().find(|&entry| !has(entry)).map(ToString::to_string)
        }
        (Value::Object(ordered), live) => ordered
            .iter()
            .find(|&(name, value)| live.get(name) != Some(value))
            .map(|(name, _)| name.clone()),
        _ => None,
    };
    missing.map(|entry| format!("{field} of a container does not have {entry}"))
}

fn foreign_mount(
    live: &ContainerInspectResponse,
    mounted: Option<(&Path, &str)>,
) -> Option<String> {
    let mut mounts = live.mounts.iter().flatten();
    let is_ordered = |mount: &&MountPoint| {
        let source = mount.source.as_deref().map(Path::new);
        let is_file = source.zip(mount.destination.as_deref()) == mounted && mounted.is_some();
        mount.typ.as_deref() == Some("tmpfs") || (is_file && mount.rw == Some(false))
    };
    let foreign = mounts.find(|mount| !is_ordered(mount))?;
    let destination = foreign.destination.as_deref().unwrap_or("an unknown place");
    Some(format!("a container has a mount at {destination}"))
}

fn foreign_network(live: &ContainerInspectResponse) -> Option<String> {
    let networks = live.network_settings.as_ref()?.networks.as_ref()?;
    let foreign = networks.keys().find(|name| *name != "none")?;
    Some(format!("a container is in the network {foreign:?}"))
}

/// A value that fits into a line: the seccomp profile does not.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(80).chain(['…']).collect() }
}

#[cfg(test)]
mod tests;
