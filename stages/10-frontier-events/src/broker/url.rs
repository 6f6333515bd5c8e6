//! The address of a broker: `memory`, `nats://…`, `tls://…` or `sqs://…`.

use std::fmt;
use std::str::FromStr;

/// What the names of streams and queues begin with, when the address has no path.
const DEFAULT_PREFIX: &str = "crucible";

/// The longest prefix: a queue of Amazon's has a name of at most 80 bytes.
const MAX_PREFIX_BYTES: usize = 30;

/// The address of a broker. Without credentials: a command line is visible to every user of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueUrl {
    /// In this process.
    Memory,
    /// NATS `JetStream`.
    Nats {
        /// The servers of a cluster, each `HOST:PORT`.
        servers: Vec<String>,
        /// Whether connections are encrypted.
        tls: bool,
        /// What the names of the streams begin with.
        prefix: String,
    },
    /// Amazon SQS.
    Sqs {
        /// The region.
        region: String,
        /// Another endpoint than Amazon's.
        endpoint: Option<String>,
        /// What the names of the queues begin with.
        prefix: String,
    },
}

/// Why an address is refused.
#[derive(Debug, thiserror::Error)]
pub enum QueueUrlError {
    /// Another scheme.
    #[error(
        "{0:?} is no broker: memory, nats://HOST:PORT, tls://HOST:PORT or sqs://REGION are accepted"
    )]
    Scheme(String),
    /// Credentials in the address.
    #[error(
        "an address must not have credentials, because every user of this machine can read it; use --broker-credentials"
    )]
    Credentials,
    /// No host, or a port that is none.
    #[error("{0:?} is no HOST:PORT")]
    Server(String),
    /// A region that is none.
    #[error("{0:?} is no region, such as eu-central-1")]
    Region(String),
    /// A path that cannot be a prefix.
    #[error("{0:?} is no prefix: lower-case letters, digits and -, at most {MAX_PREFIX_BYTES}")]
    Prefix(String),
    /// An endpoint that is none.
    #[error("{0:?} is no endpoint: ?endpoint=http://HOST:PORT or https://HOST:PORT is accepted")]
    Endpoint(String),
}

impl FromStr for QueueUrl {
    type Err = QueueUrlError;

    fn from_str(text: &str) -> Result<Self, QueueUrlError> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| QueueUrlError::Scheme(text.to_owned()))?;
        if rest.contains('@') {
            return Err(QueueUrlError::Credentials);
        }
        match scheme {
            "nats" | "tls" => parse_nats(scheme == "tls", rest),
            "sqs" => parse_sqs(rest),
            _ => Err(QueueUrlError::Scheme(text.to_owned())),
        }
    }
}

fn parse_nats(tls: bool, rest: &str) -> Result<QueueUrl, QueueUrlError> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let servers = hosts.split(',').map(|server| {
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "4222"));
        match (host, port.parse::<u16>()) {
            ("", _) | (_, Err(_) | Ok(0)) => Err(QueueUrlError::Server(server.to_owned())),
            (host, Ok(port)) => Ok(format!("{host}:{port}")),
        }
    });
    Ok(QueueUrl::Nats { servers: servers.collect::<Result<_, _>>()?, tls, prefix: prefix(path)? })
}

fn parse_sqs(rest: &str) -> Result<QueueUrl, QueueUrlError> {
    let (rest, query) =
        rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (region, path) = rest.split_once('/').unwrap_or((rest, ""));
    if region.is_empty() || !region.bytes().all(is_name_byte) {
        return Err(QueueUrlError::Region(region.to_owned()));
    }
    let endpoint = query.map(|query| match query.strip_prefix("endpoint=") {
        Some(endpoint) if is_http(endpoint) => Ok(endpoint.to_owned()),
        _ => Err(QueueUrlError::Endpoint(query.to_owned())),
    });
    Ok(QueueUrl::Sqs {
        region: region.to_owned(),
        endpoint: endpoint.transpose()?,
        prefix: prefix(path)?,
    })
}

fn is_http(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', '&']))
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn prefix(path: &str) -> Result<String, QueueUrlError> {
    match path {
        "" => Ok(DEFAULT_PREFIX.to_owned()),
        path if path.len() <= MAX_PREFIX_BYTES && path.bytes().all(is_name_byte) => {
            Ok(path.to_owned())
        }
        path => Err(QueueUrlError::Prefix(path.to_owned())),
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Nats { servers, tls, prefix } => {
                let scheme = if *tls { "tls" } else { "nats" };
                write!(f, "{scheme}://{}/{prefix}", servers.join(","))
            }
            Self::Sqs { region, endpoint, prefix } => {
                write!(f, "sqs://{region}/{prefix}")?;
                endpoint.iter().try_for_each(|endpoint| write!(f, "?endpoint={endpoint}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_it_is_printed_as() {
        for (text, printed) in [
            ("memory", "memory"),
            ("nats://localhost", "nats://localhost:4222/crucible"),
            ("nats://a:1,b:2/test-7", "nats://a:1,b:2/test-7"),
            ("tls://[::1]:4222/x", "tls://[::1]:4222/x"),
            ("sqs://eu-central-1", "sqs://eu-central-1/crucible"),
            (
                "sqs://us-east-1/ci?endpoint=http://127.0.0.1:5000",
                "sqs://us-east-1/ci?endpoint=http://127.0.0.1:5000",
            ),
        ] {
            assert_eq!(text.parse::<QueueUrl>().unwrap().to_string(), printed);
            assert_eq!(
                printed.parse::<QueueUrl>().unwrap(),
                text.parse::<QueueUrl>().unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for (text, wrong) in [
            ("redis://h", "is no broker"),
            ("", "is no broker"),
            ("nats://user:secret@h:4222", "--broker-credentials"),
            ("nats://h:port", "HOST:PORT"),
            ("nats://:4222", "HOST:PORT"),
            ("nats://h:0", "HOST:PORT"),
            ("nats://a,", "HOST:PORT"),
            ("nats://h/A.B", "prefix"),
            ("sqs://", "region"),
            ("sqs://EU", "region"),
            ("sqs://eu-central-1?endpoint=ftp://h", "endpoint"),
            ("sqs://eu-central-1?region=x", "endpoint"),
        ] {
            let error = text.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
