//! Requests in a minute, by the algorithm GCRA: a client may use its minute at once, and gets each
//! request back after its share of the minute.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shared::http::Problem;

/// Clients whose use is counted at one moment. Those beyond it share one limit.
pub(super) const MAX_CLIENTS: usize = 10_000;
/// How often counts that are full again are removed while there are too many.
const CLEAN_INTERVAL: Duration = Duration::from_secs(1);
/// The length of the window, in seconds.
const WINDOW_SECONDS: u64 = 60;
/// What all clients beyond [`MAX_CLIENTS`] are counted as.
const OTHERS: &str = "";

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Limiter =
    RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Limits the requests of each client.
pub struct RateLimit {
    limiter: Limiter,
    clock: DefaultClock,
    quota: NonZeroU32,
    /// The name of the policy, in headers.
    name: &'static str,
    max_clients: usize,
    started: Instant,
    /// When counts were removed last, in milliseconds after `started`.
    cleaned: AtomicU64,
}

/// What a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStatus {
    name: &'static str,
    quota: u32,
    remaining: u32,
    reset_seconds: u64,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed(RateStatus),
    /// It is one too many.
    Refused {
        /// What the client has left: nothing.
        status: RateStatus,
        /// Seconds until one more request is allowed.
        retry_after: u64,
    },
}

impl RateLimit {
    /// At most so many requests in a minute, for each client. The policy has this name in headers.
    pub fn per_minute(name: &'static str, quota: NonZeroU32) -> Self {
        Self::with_size(name, quota, MAX_CLIENTS)
    }

    fn with_size(name: &'static str, quota: NonZeroU32, max_clients: usize) -> Self {
        let clock = DefaultClock::default();
        let store = HashMapStateStore::default();
        let limiter = Limiter::new(Quota::per_minute(quota), store, clock.clone());
        let (started, cleaned) = (Instant::now(), AtomicU64::new(0));
        Self { limiter, clock, quota, name, max_clients, started, cleaned }
    }

    /// Counts a request of `client`.
    pub fn check(&self, client: &str) -> Decision {
        let client = if self.has_room() { client } else { OTHERS };
        let (name, quota) = (self.name, self.quota.get());
        match self.limiter.check_key(&client.to_owned()) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity().min(quota);
                let used = u64::from(quota - remaining);
                let reset_seconds = (used * WINDOW_SECONDS).div_ceil(u64::from(quota));
                Decision::Allowed(RateStatus { name, quota, remaining, reset_seconds })
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                let retry_after = wait.as_secs_f64().ceil().max(1.0);
                let (remaining, reset_seconds) = (0, WINDOW_SECONDS);
                let status = RateStatus { name, quota, remaining, reset_seconds };
                // A wait is at most a minute.
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a whole number from 1 to 60"
                )]
                Decision::Refused { status, retry_after: retry_after as u64 }
            }
        }
    }

    /// Clients whose use is counted now.
    pub fn clients(&self) -> usize {
        self.limiter.len()
    }

    /// Whether one more client can be counted. Counts that are full again are removed first: a client
    /// without a count has everything left.
    fn has_room(&self) -> bool {
        if self.limiter.len() < self.max_clients {
            return true;
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let interval = u64::try_from(CLEAN_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        let last = self.cleaned.load(Ordering::Relaxed);
        // One of the callers removes them; the map is locked meanwhile.
        let is_due = now.saturating_sub(last) >= interval
            && self
                .cleaned
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            self.limiter.retain_recent();
        }
        self.limiter.len() < self.max_clients
    }
}

impl RateStatus {
    /// Adds the headers of draft-ietf-httpapi-ratelimit-headers-11.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let policy = format!("\"{}\";q={};w={WINDOW_SECONDS}", self.name, self.quota);
        let limit = format!("\"{}\";r={};t={}", self.name, self.remaining, self.reset_seconds);
        let both = [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)];
        both.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)))
    }

    /// The same problem with these headers.
    #[must_use]
    pub fn on(&self, problem: Problem) -> Problem {
        self.headers().fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }
}

impl Decision {
    /// What is left, if the request may go on.
    ///
    /// # Errors
    ///
    /// 429 with the time for another try.
    pub fn into_result(self) -> Result<RateStatus, Problem> {
        match self {
            Self::Allowed(status) => Ok(status),
            Self::Refused { status, retry_after } => {
                let detail = "too many requests; wait as long as Retry-After has it";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
                Err(status.on(problem.with_header(header::RETRY_AFTER, retry_after)))
            }
        }
    }
}

/// What the requests of an address are counted under. One client of IPv6 has a whole network of
/// addresses, so that its network counts.
pub(crate) fn client_of(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64;
            format!("net-{network:x}")
        }
        Some(address) => format!("net-{address}"),
        None => "net-unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(quota: u32, max_clients: usize) -> RateLimit {
        RateLimit::with_size("requests", NonZeroU32::new(quota).unwrap(), max_clients)
    }

    #[test]
    fn a_client_has_its_quota_and_others_have_theirs() {
        let limit = limit(5, 10);
        for remaining in (0..5).rev() {
            let Decision::Allowed(status) = limit.check("a") else { panic!("{remaining}") };
            assert_eq!(status.remaining, remaining);
            assert_eq!(status.reset_seconds, u64::from(5 - remaining) * 12);
        }
        let Decision::Refused { status, retry_after } = limit.check("a") else { panic!() };
        assert_eq!((status.remaining, status.quota), (0, 5));
        assert!((1..=12).contains(&retry_after), "{retry_after}");
        assert!(matches!(limit.check("b"), Decision::Allowed(_)));
    }

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let (name, quota) = ("requests", 100);
        let status = RateStatus { name, quota, remaining: 50, reset_seconds: 30 };
        let mut headers = HeaderMap::new();
        status.add_to(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"requests\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"requests\";r=50;t=30");
        let refused = Decision::Refused { status, retry_after: 7 };
        let response = refused.into_result().unwrap_err().into_response("");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["ratelimit"], "\"requests\";r=50;t=30");
    }

    #[test]
    fn any_number_of_clients_takes_bounded_memory() {
        let limit = limit(2, 100);
        for client in 0..10_000 {
            limit.check(&client.to_string());
        }
        // One more: what all others are counted as.
        assert!(limit.clients() <= 101, "{}", limit.clients());
        // The others share one limit, so that a flood of addresses is no way round it.
        assert!(matches!(limit.check("another"), Decision::Refused { .. }));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let client = |text: &str| client_of(Some(text.parse().unwrap()));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_ne!(client("192.0.2.1"), client_of(None));
    }
}
