//! The limits of an HTTP server, and the checks of a request's head that every request passes.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | two parties take two different hosts for the one that is meant | one `Host` header, and the host of an absolute target before it | `the_host_is_unambiguous` |
//! | a page of another site posts to this server, or rebinds its name to 127.0.0.1 | `Host` and `Origin` are checked | `a_foreign_page_is_refused` |

use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, header};

use super::Problem;

/// A client has this long to send its header, and may idle this long between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client has this long to send its body, or each part of a body that is streamed.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A client has this long to take some of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at one moment.
pub(crate) const MAX_CONNECTIONS: usize = 2048;
/// Connections of one client at one moment, when nothing is given.
pub(crate) const DEFAULT_CONNECTIONS_PER_CLIENT: u16 = 1024;

/// The settings of an HTTP server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The largest request body, in bytes, of a route that sets no limit of its own.
    pub max_body_bytes: usize,
    /// Bytes of all bodies that are in memory at one moment, beside the first kilobytes of each.
    pub max_bodies_bytes: usize,
    /// Host names a client may use beside `localhost` and plain addresses.
    pub allowed_hosts: Vec<String>,
    /// Accept any host name: only where a proxy in front checks it.
    pub any_host: bool,
    /// Connections at one moment. More wait in the kernel's backlog.
    pub max_connections: usize,
    /// Connections of one client at one moment: of an address of IPv4, or a /64 of IPv6.
    pub max_connections_per_client: usize,
    /// How long a client may take for its header, and between two requests.
    pub header_timeout: Duration,
    /// How long a client may take for its body, or for each part of a body that is streamed.
    pub body_timeout: Duration,
    /// How long a client may take nothing of a response that waits for it.
    pub write_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 << 20,
            max_bodies_bytes: 32 << 20,
            allowed_hosts: Vec::new(),
            any_host: false,
            max_connections: MAX_CONNECTIONS,
            max_connections_per_client: DEFAULT_CONNECTIONS_PER_CLIENT.into(),
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
        }
    }
}

impl ServerOptions {
    /// Refuses a browser that a page of another site has led here, and a request for two hosts.
    pub(super) fn check_origin(&self, head: &Parts) -> Result<(), Problem> {
        let Parts { method, headers, uri, .. } = head;
        let mut lines = headers.get_all(header::HOST).iter();
        let line = lines.next().and_then(|value| value.to_str().ok());
        if lines.next().is_some() {
            let detail = "send one Host header";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        // The host of an absolute target counts, and not the header (RFC 9112, section 3.2.2).
        let absolute = uri.scheme().and(uri.authority()).map(Authority::as_str);
        let host = absolute.or(line).unwrap_or("");
        if !self.is_own_host(host) {
            let detail = "this server is not known by that Host; use its address, or start it \
                          with --allow-host NAME";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let own = |scheme| origin.as_bytes() == format!("{scheme}://{host}").as_bytes();
        if method.is_safe() || own("http") || own("https") {
            return Ok(());
        }
        let detail = "a page of another origin may not do this";
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    fn is_own_host(&self, host: &str) -> bool {
        // `[::1]:8005`, `127.0.0.1:8005`, `localhost`: cut the port off, then the brackets.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // DNS rebinding needs a name: a plain address is always this server's own.
        self.any_host
            || bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.allowed_hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}
