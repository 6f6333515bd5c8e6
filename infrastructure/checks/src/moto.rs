//! A server in the place of AWS.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::tools::tool;

/// For a machine that is busy with other tests.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The services that the stack uses, by the names of the provider.
const SERVICES: &str = "apigateway autoscaling budgets cloudwatch cloudwatchevents cloudwatchlogs dynamodb ec2 iam kms lambda s3 sns sqs ssm sts";

/// A `moto_server`, which is killed when this is dropped.
pub struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    /// Starts one, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let null = File::options().write(true).open("/dev/null")?;
        let process = tool("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(null.try_clone()?)
            .stderr(null)
            .spawn()?;
        let moto = Self { process, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(started.elapsed() < START_TIMEOUT, "moto_server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(moto)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file for Terraform that leads the provider to this server: what overrides a block has to be in a file
    /// whose name ends with `_override.tf`.
    pub fn provider_override(&self) -> String {
        let url = self.url();
        let endpoints = SERVICES.split(' ').map(|name| format!("    {name} = \"{url}\"\n"));
        let endpoints = endpoints.collect::<Vec<_>>().concat();
        format!(
            "provider \"aws\" {{\n  skip_credentials_validation = true\n  skip_metadata_api_check = true\n  \
             s3_force_path_style = true\n  max_retries = 1\n  endpoints {{\n{endpoints}  }}\n}}\n"
        )
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
