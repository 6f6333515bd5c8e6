//! What clients send, and what it stands for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::submission::InvalidSubmission;
use stage_06_advanced::{SandboxLimits, SandboxSupport};

use super::problem::{Failure, invalid};
use super::spool::Keep;
use super::state::Labels;

/// The environment of a request that names none.
const DEFAULT_ENVIRONMENT: &str = "agent";
/// Seconds without use after which a sandbox ends, and seconds that it exists, unless a request says otherwise.
const DEFAULT_IDLE_SECONDS: u64 = 3_600;
const DEFAULT_LIFETIME_SECONDS: u64 = 14_400;
/// Bytes of each stream that are kept of an execution whose request says nothing.
const DEFAULT_OUTPUT_BYTES: u64 = 1 << 20;

/// The body of `POST /sandboxes`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CreateBody {
    environment: Option<String>,
    limits: Option<LimitsBody>,
    idle_timeout_seconds: Option<u64>,
    lifetime_seconds: Option<u64>,
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsBody {
    memory_bytes: Option<u64>,
    cpus: Option<u32>,
    pids: Option<u64>,
    disk_bytes: Option<u64>,
}

/// A sandbox that is requested, within the bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CreateRequest {
    pub(super) environment: String,
    pub(super) limits: SandboxLimits,
    pub(super) idle_timeout_seconds: u64,
    pub(super) lifetime_seconds: u64,
    pub(super) labels: Labels,
}

/// A sandbox of what the engine has.
pub(super) fn parse_create(
    body: Value,
    support: &SandboxSupport,
) -> Result<CreateRequest, InvalidSubmission> {
    let body: CreateBody = if body.is_null() { CreateBody::default() } else { from(body)? };
    let name = body.environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
    let Some(environment) = support.environment(&name) else {
        let names: Vec<_> = support.environments.iter().map(|one| one.name.as_str()).collect();
        let detail = match names.as_slice() {
            [] => {
                "no environment for sandboxes was built on this server: env build agent".to_owned()
            }
            names => format!("name one of: {}", names.join(", ")),
        };
        return Err(invalid("/environment", detail));
    };
    let (given, default) = (body.limits.unwrap_or_default(), environment.default);
    let limits = SandboxLimits {
        memory_bytes: given.memory_bytes.unwrap_or(default.memory_bytes),
        cpus: given.cpus.unwrap_or(default.cpus),
        pids: given.pids.unwrap_or(default.pids),
        disk_bytes: given.disk_bytes.unwrap_or(default.disk_bytes),
    };
    if let Err(error) = limits.check(&environment.max) {
        let pointer = match &error {
            stage_06_advanced::OpenError::Limit { name, .. } => format!("/limits/{name}"),
            _ => "/limits".to_owned(),
        };
        return Err(invalid(&pointer, error.to_string()));
    }
    let lifetime_seconds = lifetime(body.lifetime_seconds, support.max_lifetime_seconds)?;
    let idle_timeout_seconds =
        body.idle_timeout_seconds.unwrap_or(DEFAULT_IDLE_SECONDS).min(lifetime_seconds);
    let labels = body.labels.unwrap_or_default();
    Ok(CreateRequest { environment: name, limits, idle_timeout_seconds, lifetime_seconds, labels })
}

fn lifetime(given: Option<u64>, max: u64) -> Result<u64, InvalidSubmission> {
    match given {
        None => Ok(DEFAULT_LIFETIME_SECONDS.min(max)),
        Some(seconds) if (1..=max).contains(&seconds) => Ok(seconds),
        Some(_) => Err(invalid("/lifetime_seconds", format!("give 1 to {max} seconds"))),
    }
}

/// The lifetime in the body of a renewal. None is that of before.
pub(super) fn parse_renewal(body: Value, max: u64) -> Result<Option<u64>, InvalidSubmission> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Body {
        lifetime_seconds: Option<u64>,
    }
    let body: Body = if body.is_null() { Body::default() } else { from(body)? };
    body.lifetime_seconds.map(|seconds| lifetime(Some(seconds), max)).transpose()
}

/// The body of an execution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecBody {
    argv: Vec<String>,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    env: Option<BTreeMap<String, String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    timeout_seconds: Option<f64>,
    #[serde(default)]
    max_output_bytes: Option<u64>,
    #[serde(default)]
    keep: Option<Keep>,
    #[serde(default)]
    stdin: Option<StdinBody>,
    #[serde(default)]
    detach: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StdinBody {
    Name(String),
    Text(TextBody),
    Base64(Base64Body),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextBody {
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64Body {
    base64: String,
}

/// The standard input of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// None: it is closed.
    Closed,
    /// These bytes.
    Bytes(Bytes),
    /// What other requests send.
    Stream,
}

/// A command that is to be executed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExecRequest {
    pub(super) argv: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) user: Option<String>,
    pub(super) timeout_seconds: Option<f64>,
    pub(super) max_output_bytes: u64,
    pub(super) keep: Keep,
    pub(super) input: Input,
    pub(super) detach: bool,
    /// The SHA-256 of all that but `detach`.
    pub(super) fingerprint: [u8; 32],
}

/// A command out of the body of a request.
pub(super) fn parse_exec(body: Value) -> Result<ExecRequest, InvalidSubmission> {
    let fingerprint = fingerprint(&body);
    let body: ExecBody = from(body)?;
    if body.argv.is_empty() {
        return Err(invalid("/argv", "name a program"));
    }
    let has_nul = |text: &String| text.contains('\0');
    if let Some(at) = body.argv.iter().position(has_nul) {
        return Err(invalid(&format!("/argv/{at}"), "take the NUL out: an argument has none"));
    }
    for (name, text) in [("cwd", &body.cwd), ("user", &body.user)] {
        if text.as_ref().is_some_and(|text| text.is_empty() || has_nul(text)) {
            return Err(invalid(&format!("/{name}"), "give at least one character, and no NUL"));
        }
    }
    let env = body.env.unwrap_or_default();
    let is_bad = |(name, value): &(&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || has_nul(value)
    };
    if env.iter().any(|variable| is_bad(&variable)) {
        return Err(invalid(
            "/env",
            "a name has at least one character and no =, and neither has NUL",
        ));
    }
    let input = match body.stdin {
        None => Input::Closed,
        Some(StdinBody::Name(name)) if name == "stream" => Input::Stream,
        Some(StdinBody::Name(_)) => {
            return Err(invalid("/stdin", "give {text}, {base64} or \"stream\""));
        }
        Some(StdinBody::Text(TextBody { text })) => Input::Bytes(text.into()),
        Some(StdinBody::Base64(Base64Body { base64 })) => {
            let bytes = STANDARD.decode(base64);
            Input::Bytes(
                bytes.map_err(|_| invalid("/stdin/base64", "not base64 with padding"))?.into(),
            )
        }
    };
    Ok(ExecRequest {
        argv: body.argv,
        cwd: body.cwd,
        env,
        user: body.user,
        timeout_seconds: body.timeout_seconds,
        max_output_bytes: body.max_output_bytes.unwrap_or(DEFAULT_OUTPUT_BYTES),
        keep: body.keep.unwrap_or_default(),
        input,
        detach: body.detach.unwrap_or_default(),
        fingerprint,
    })
}

/// What makes a request the same one again. Waiting for the end or not is none of it.
fn fingerprint(body: &Value) -> [u8; 32] {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        members.retain(|name, value| name != "detach" && !value.is_null());
        members.sort_keys();
    }
    body.sort_all_objects();
    Sha256::digest(body.to_string()).into()
}

/// The signal in the body of a request: its number, and whether all processes get it.
pub(super) fn parse_signal(body: Value) -> Result<(u8, bool), InvalidSubmission> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        signal: Value,
        #[serde(default)]
        tree: Option<bool>,
    }
    let Body { signal, tree } = from(body)?;
    let number = match &signal {
        Value::String(name) => {
            let name = name.to_ascii_uppercase();
            let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
            let signal = name.parse::<nix::sys::signal::Signal>().ok();
            signal.and_then(|signal| u8::try_from(signal as i32).ok())
        }
        Value::Number(number) => number.as_i64().and_then(|number| u8::try_from(number).ok()),
        _ => None,
    };
    match number.filter(|number| (1..=64).contains(number)) {
        Some(number) => Ok((number, tree.unwrap_or_default())),
        None => Err(invalid("/signal", "give a name such as TERM, or a number from 1 to 64")),
    }
}

fn from<T: for<'a> Deserialize<'a>>(body: Value) -> Result<T, InvalidSubmission> {
    serde_json::from_value(body).map_err(|error| InvalidSubmission::Malformed(error.to_string()))
}

/// A number in a query.
pub(super) fn number(
    name: &str,
    text: Option<String>,
    default: u64,
    max: u64,
) -> Result<u64, Failure> {
    let Some(text) = text else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number <= max);
    number.ok_or_else(|| {
        let detail = format!("{name} is a number from 0 to {max}");
        Failure::plain(http::StatusCode::BAD_REQUEST, &detail)
    })
}
