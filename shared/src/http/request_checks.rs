//! The limits of an HTTP server, and the checks of a request's head that every request passes.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | two parties take two different hosts for the one that is meant | one `Host` header, and the host of an absolute target before it | `the_host_is_unambiguous` |
//! | a page of another site posts to this server, or rebinds its name to 127.0.0.1 | `Host` and `Origin` are checked | `a_foreign_page_is_refused` |
//! | a page of another site reads answers | none may, except those of the origins that the operator names, compared byte by byte | `only_an_allowed_origin_reads_answers` |

use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

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

/// What a page of an allowed origin may send, and may read of an answer beside its body. A browser takes
/// them from the answer to its preflight. Cookies are not among them: no stage has any.
const GRANTS: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, prefer, last-event-id"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location, retry-after, x-request-id"),
];

/// The settings of an HTTP server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The largest request body, in bytes, of a route that sets no limit of its own.
    pub max_body_bytes: usize,
    /// Bytes of all bodies that are in memory at one moment, beside the first kilobytes of each.
    pub max_bodies_bytes: usize,
    /// Host names a client may use beside `localhost` and plain addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use this server from a browser, beside its own pages.
    pub allowed_origins: Vec<HeaderValue>,
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
            allowed_origins: Vec::new(),
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
        if method.is_safe() || own("http") || own("https") || self.allowed_origins.contains(origin)
        {
            return Ok(());
        }
        let detail = "a page of another origin may not do this";
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// The origin of the page that sent a request, if it is one of those allowed.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        headers.get(header::ORIGIN).filter(|origin| self.allowed_origins.contains(origin)).cloned()
    }

    /// Whether a browser asks if the page of an allowed origin may send what it is about to send. No route
    /// takes `OPTIONS`, so that every such request of an allowed origin is a preflight.
    pub(super) fn is_preflight(&self, head: &Parts) -> bool {
        head.method == Method::OPTIONS && self.allowed_origin(&head.headers).is_some()
    }

    /// Lets the page of an allowed origin read an answer. Without allowed origins nothing is added.
    pub(super) fn grant(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if !self.allowed_origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.extend(GRANTS.map(|(name, value)| (name, HeaderValue::from_static(value))));
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

/// Parses an origin: what a browser sends in `Origin`, to the byte.
///
/// Attack: `*` would let every page of the web run programs here, and so would `null`, which is what a
/// browser sends for every page that was opened from a file, and for every sandboxed frame. Test:
/// `an_origin_is_exact`.
pub(crate) fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let uri = text.parse::<Uri>().unwrap_or_default();
    let web = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
    let exact = web.zip(uri.authority()).map(|(scheme, place)| format!("{scheme}://{place}"));
    let is_exact = exact.is_some_and(|exact| exact.to_lowercase() == text);
    HeaderValue::from_str(text).ok().filter(|_| is_exact && !text.contains(['@', '*'])).ok_or(
        "give one origin as a browser sends it, such as http://127.0.0.1:3000: scheme, host and port, \
         in small letters and without a slash at the end; `*` and `null` would be every page",
    )
}
