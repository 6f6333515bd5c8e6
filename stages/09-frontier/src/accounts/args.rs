//! The flags of keys, limits and exposure. No request can set any of these.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::value_parser;
use shared::cli::{BuildError, Settings};

use tokio_rustls::rustls::ServerConfig;

use crate::limits::QuotaLimits;
use crate::tls::TlsError;

/// The flags of accounts.
#[derive(Debug, Clone, clap::Args)]
pub struct AccessArgs {
    /// A proxy in front speaks TLS, and adds the address of each client to X-Forwarded-For
    #[arg(long, global = true, env = "CRUCIBLE_BEHIND_PROXY")]
    pub behind_proxy: bool,
    /// PEM file with the certificate of this server and those between it and the root
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CRUCIBLE_TLS_CERT",
        requires = "tls_key",
        conflicts_with = "behind_proxy"
    )]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CRUCIBLE_TLS_KEY",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// Requests of one key in a minute; one more is answered 429
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_RATE_LIMIT",
          default_value = "600", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub rate_limit: u32,
    /// Requests of one key to its sandboxes that stay, in a minute; they are counted apart, and one more is answered 429
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_SANDBOX_RATE_LIMIT",
          default_value = "12000", value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub sandbox_rate_limit: u32,
    /// Evaluations of one key that may wait; one more is answered 429 [default: half of --queue-capacity]
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_KEY_QUEUED",
          value_parser = value_parser!(u32).range(1..=100_000))]
    pub key_queued: Option<u32>,
    /// Evaluations of one key that run at the same time; more of them wait
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_KEY_RUNNING",
          default_value_t = 16, value_parser = value_parser!(u32).range(1..=256))]
    pub key_running: u32,
    /// Processor time of the evaluations of one key in a day (UTC), in seconds; after that they are answered 429, and so are
    /// sandboxes that it opens
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_KEY_CPU_SECONDS",
          default_value_t = 86_400, value_parser = value_parser!(u64).range(1..=1 << 32))]
    pub key_cpu_seconds: u64,
    /// How long the response to an Idempotency-Key is remembered, in hours
    #[arg(long, global = true, value_name = "HOURS", env = "CRUCIBLE_IDEMPOTENCY_HOURS",
          default_value_t = 24, value_parser = value_parser!(u32).range(1..=8_760))]
    pub idempotency_hours: u32,
    /// The certificate and its key, once they are read.
    #[arg(skip)]
    tls: Arc<OnceLock<Arc<ServerConfig>>>,
}

impl AccessArgs {
    /// The quotas of each key of a server where so many evaluations may wait.
    ///
    /// Attack: one key fills the queue with programs that sleep, and every other key is refused for hours → unless the
    /// operator says otherwise, a key has half of the queue. Test: `a_key_has_half_of_the_queue`.
    pub fn quotas(&self, queue_capacity: u32) -> QuotaLimits {
        let queued = self.key_queued.unwrap_or(queue_capacity.div_ceil(2).max(1));
        QuotaLimits { queued, capacity: queue_capacity, cpu_seconds_per_day: self.key_cpu_seconds }
    }

    /// Reads the certificate and its key, if they are given: while the process may.
    ///
    /// # Errors
    ///
    /// When they cannot be read or used.
    pub fn load_tls(&self) -> Result<(), TlsError> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let configuration = crate::tls::configuration(cert, key)?;
            self.tls.get_or_init(|| configuration);
        }
        Ok(())
    }

    /// The certificate and its key, if they were read.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.get().cloned()
    }

    /// Requests in a minute, and those to sandboxes that stay.
    pub fn rates(&self) -> [NonZeroU32; 2] {
        let rates = [self.rate_limit, self.sandbox_rate_limit];
        rates.map(|rate| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN))
    }

    // ANCHOR: exposure
    /// Refuses an address that other machines can reach, if keys would be sent there in clear text.
    ///
    /// Attack: the server is bound to 0.0.0.0 without TLS → every network between reads the keys.
    /// Test: `an_address_for_other_machines_needs_tls_and_keys`.
    ///
    /// # Errors
    ///
    /// What to add to the command line.
    pub fn check_exposure(&self, settings: &Settings) -> Result<(), BuildError> {
        let Some(address) = remote_address(settings) else { return Ok(()) };
        if self.behind_proxy || self.tls_cert.is_some() {
            return Ok(());
        }
        let error = format!(
            "{address} can be reached from other machines, and keys would be sent to it unencrypted"
        );
        let hint = "give a certificate with --tls-cert and --tls-key, or --behind-proxy if a proxy \
                    in front speaks TLS";
        Err(BuildError::new(error).with_hint(hint))
    }
    // ANCHOR_END: exposure
}

/// The address that the server listens on, if it is not a loopback address.
pub(crate) fn remote_address(settings: &Settings) -> Option<SocketAddr> {
    settings.listen.filter(|address| !address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::sandboxes::SandboxArgs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        access: AccessArgs,
        #[command(flatten)]
        sandboxes: SandboxArgs,
    }

    #[test]
    fn a_key_has_half_of_the_queue() {
        let line = |arguments: &[&str]| Line::parse_from([&["x"], arguments].concat());
        let queued = |arguments: &[&str], capacity| line(arguments).access.quotas(capacity).queued;
        assert_eq!([1, 2, 99, 100].map(|capacity| queued(&[], capacity)), [1, 1, 50, 50]);
        assert_eq!(queued(&["--key-queued", "700"], 100), 700);
        let sandboxes = |arguments: &[&str]| {
            [true, false].map(|is_key| line(arguments).sandboxes.of_client(is_key))
        };
        assert_eq!(sandboxes(&[]), [32, u32::MAX]);
        assert_eq!(sandboxes(&["--sandboxes", "1"]), [1, u32::MAX]);
        assert_eq!(sandboxes(&["--key-sandboxes", "5"]), [5, 5]);
    }
}
