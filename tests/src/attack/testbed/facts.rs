//! Identifiers of the host environment, read from outside: an unsandboxed program can read them, a
//! contained one must not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Testbed;
use crate::attack::probe::Fact;

/// Every text that would disclose the fact. Empty when the host environment has no such fact.
///
/// # Errors
///
/// When it cannot be read.
pub async fn known(testbed: &Testbed, fact: Fact) -> Result<Vec<String>> {
    let host = &testbed.host;
    let read = |path: &str| {
        let path = host.outside(Path::new(path));
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let line = |path: &str| Ok(vec![read(path)?.trim().to_owned()]);
    match fact {
        Fact::Hostname => match host.as_jail() {
            Some(jail) => Ok(vec![jail.hostname.clone()]),
            None => line("/proc/sys/kernel/hostname"),
        },
        Fact::MachineId if !host.outside(Path::new("/etc/machine-id")).exists() => Ok(Vec::new()),
        Fact::MachineId => line("/etc/machine-id"),
        Fact::BootId => line("/proc/sys/kernel/random/boot_id"),
        Fact::KernelRelease => line("/proc/sys/kernel/osrelease"),
        Fact::MemoryTotal => {
            let text = read("/proc/meminfo")?;
            let words = text.lines().next().unwrap_or_default().split_ascii_whitespace();
            Ok(words.skip(1).take(1).map(str::to_owned).collect())
        }
        Fact::Resolver => Ok(resolvers(&read("/etc/resolv.conf")?)),
        Fact::Mac => hardware_addresses(testbed).await,
        Fact::OverlayDir => match host.as_jail() {
            Some(jail) => Ok(vec![jail.dir().display().to_string()]),
            None => Ok(vec![docker(".DockerRootDir")?]),
        },
    }
}

/// The addresses and comments in a resolver's file that disclose something about the host.
fn resolvers(text: &str) -> Vec<String> {
    let telling = |line: &str| {
        let text = line.strip_prefix("nameserver").or_else(|| line.strip_prefix("# "))?.trim();
        // Loopback resolvers reveal nothing about the host.
        (!text.starts_with("127.") && text.len() > 6).then(|| text.to_owned())
    };
    text.lines().filter_map(telling).collect()
}

async fn hardware_addresses(testbed: &Testbed) -> Result<Vec<String>> {
    // A child process inherits the network namespace of the thread.
    let output =
        testbed.host.network().within(|| Command::new("ip").args(["-json", "link"]).output());
    let links: Vec<Value> =
        serde_json::from_slice(&output.await?.stdout).context("`ip -json link` printed no JSON")?;
    let addresses = links.iter().filter_map(|link| link["address"].as_str());
    Ok(addresses.filter(|address| *address != "00:00:00:00:00:00").map(str::to_owned).collect())
}

/// The Docker daemon's information about itself.
fn docker(field: &str) -> Result<String> {
    let format = format!("{{{{{field}}}}}");
    let output = Command::new("docker").args(["info", "--format", &format]).output();
    let output = output.context("cannot run docker")?;
    if !output.status.success() {
        bail!(
            "docker does not respond: {}; run infrastructure/setup/setup.sh",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_resolver_discloses_nothing_about_the_host() {
        let text = "# f00dfeedf00d\nnameserver 127.0.0.53\nnameserver 10.1.2.3\nsearch x\n";
        assert_eq!(resolvers(text), ["f00dfeedf00d", "10.1.2.3"]);
    }
}
