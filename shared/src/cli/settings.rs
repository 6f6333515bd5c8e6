//! The settings of every stage.

use std::net::SocketAddr;

use clap::Args;
use http::HeaderValue;

use super::descriptors;
use super::log::LogFormat;
use crate::http::{DEFAULT_CONNECTIONS_PER_CLIENT, ServerOptions, origin};
use crate::submission::MIN_MEMORY_BYTES;
use crate::{Bounds, Limits};

/// The settings of every stage. Each is a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1:80NN, NN the stage]; port 0 takes any free one
    #[arg(long, global = true, value_name = "ADDRESS", env = "CRUCIBLE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Listen on an address that other machines can reach, although anybody there may then run
    /// programs here
    #[arg(long, global = true, env = "CRUCIBLE_ALLOW_REMOTE")]
    pub allow_remote: bool,
    /// Host name that clients may call this server by (can be repeated)
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CRUCIBLE_ALLOW_HOST",
        value_delimiter = ','
    )]
    pub allow_host: Vec<String>,
    /// Origin of a page that may send programs here from a browser and read the answers, such as
    /// `http://127.0.0.1:3000`, where this project's book is read (can be repeated) [default: none]
    #[arg(long, global = true, value_name = "ORIGIN", env = "CRUCIBLE_ALLOW_ORIGIN",
          value_delimiter = ',', value_parser = origin)]
    pub allow_origin: Vec<HeaderValue>,
    /// Connections that one client may have at the same time, of 2,048 in all; a client is an address
    /// of IPv4 or a /64 network of IPv6
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_CONNECTIONS_PER_CLIENT",
          default_value_t = DEFAULT_CONNECTIONS_PER_CLIENT,
          value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub connections_per_client: u16,
    /// Evaluations that run at the same time
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WORKERS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Evaluations that may wait for a worker; one more is answered 503
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_QUEUE_CAPACITY",
          default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub queue_capacity: u32,
    /// Wall-clock time of an evaluation that requests none, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_TIMEOUT_SECONDS",
          default_value_t = 30.0, value_parser = seconds)]
    pub timeout_seconds: f64,
    /// Longest wall-clock time an evaluation may request, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_MAX_TIMEOUT_SECONDS",
          default_value_t = 300.0, value_parser = seconds)]
    pub max_timeout_seconds: f64,
    /// Processor time of an evaluation, over all its processes, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_CPU_SECONDS",
          default_value_t = 30.0, value_parser = seconds)]
    pub cpu_seconds: f64,
    /// Memory of an evaluation that requests none, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_MEMORY_BYTES",
          default_value_t = 256 << 20,
          value_parser = clap::value_parser!(u64).range(MIN_MEMORY_BYTES..=1 << 40))]
    pub memory_bytes: u64,
    /// Most memory an evaluation may request, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_MAX_MEMORY_BYTES",
          default_value_t = 1 << 30,
          value_parser = clap::value_parser!(u64).range(MIN_MEMORY_BYTES..=1 << 40))]
    pub max_memory_bytes: u64,
    /// Processes and threads of an evaluation
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_PIDS",
          default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=32_768))]
    pub pids: u64,
    /// Bytes stored of each output stream; a program that writes more is ended
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_OUTPUT_BYTES",
          default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    pub output_bytes: u64,
    /// Scratch space of an evaluation, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_DISK_BYTES",
          default_value_t = 64 << 20,
          value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 40))]
    pub disk_bytes: u64,
    /// Open files of each process
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_OPEN_FILES",
          default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub open_files: u64,
    /// How long running evaluations may go on after Ctrl-C or SIGTERM, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_DRAIN_SECONDS",
          default_value_t = 10.0, value_parser = seconds)]
    pub drain_seconds: f64,
    /// Format of the log on standard error; `auto` is text on a terminal and JSON elsewhere
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = "CRUCIBLE_LOG_FORMAT",
          default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

impl Settings {
    /// The bounds of every submission.
    pub fn bounds(&self) -> Bounds {
        let default = Limits {
            timeout_seconds: self.timeout_seconds,
            cpu_seconds: self.cpu_seconds,
            memory_bytes: self.memory_bytes,
            pids: self.pids,
            output_bytes: self.output_bytes,
            disk_bytes: self.disk_bytes,
            open_files: self.open_files,
        };
        Bounds {
            default,
            max_timeout_seconds: self.max_timeout_seconds.max(self.timeout_seconds),
            max_memory_bytes: self.max_memory_bytes.max(self.memory_bytes),
            max_attempts: 1,
        }
    }

    /// The options of the HTTP server, with as many connections as there are descriptors for.
    pub fn server_options(&self) -> ServerOptions {
        ServerOptions {
            allowed_hosts: self.allow_host.clone(),
            allowed_origins: self.allow_origin.clone(),
            max_connections: descriptors::for_connections(self.workers),
            max_connections_per_client: self.connections_per_client.into(),
            ..ServerOptions::default()
        }
    }
}

/// A number of seconds a limit can be: finite, positive, at most a day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.1..=86_400.0).contains(&value) => Ok(value),
        _ => Err("give a number of seconds from 0.1 to 86400".to_owned()),
    }
}
