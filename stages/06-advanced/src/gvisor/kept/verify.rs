//! Looks at a sandbox that stays from outside, before an environment is used: its processes, its namespaces, the
//! specification that runsc has loaded, its cgroup. What stands for a program is its supervisor.

use stage_04_docker::{BoxError, error_chain};

use super::super::error::Text;
use super::super::isolation_check::IsolationError;
use super::super::live_check::{self, LiveSandbox, OrderedSandbox};
use super::super::memory::highest_limit;
use super::sandbox::{KeptFactory, KeptSandbox};
use super::spec;
use crate::sandboxes::SandboxLimits;

/// Starts a sandbox, compares it with what was ordered, and removes it. Returns what was seen.
pub(super) async fn verify(
    factory: &KeptFactory,
    limits: &SandboxLimits,
) -> Result<String, IsolationError> {
    let sandbox = factory.start(limits).await?;
    let verified = verify_sandbox(&sandbox, factory).await;
    sandbox.process.remove().await;
    verified
}

async fn verify_sandbox(
    sandbox: &KeptSandbox,
    factory: &KeptFactory,
) -> Result<String, IsolationError> {
    let (factory, limits) = (factory.clone(), sandbox.limits);
    let paths = std::sync::Arc::clone(&sandbox.process.paths);
    let inspect = move || {
        let spec = factory.specification(&paths, &limits).map_err(BoxError::from);
        let spec = spec.and_then(|spec| Ok(serde_json::to_value(spec)?));
        let base = &factory.base;
        live_check::inspect(&OrderedSandbox {
            paths: &paths,
            cgroup: spec::cgroup_limits(&limits),
            highest_memory_bytes: highest_limit(&spec::memory_limits(&limits)),
            runsc: &base.runsc,
            platform: base.platform,
            arguments: &base.arguments,
            state: &base.dir.state(),
            // Nothing equals it, should there be no specification.
            spec: spec.unwrap_or_default(),
        })
    };
    let live: LiveSandbox = tokio::task::spawn_blocking(inspect).await?;
    let mut differences = live.differences;
    if live.kernel.is_none() {
        differences.push("no process is gVisor's kernel".to_owned());
    }
    if !differences.is_empty() {
        let seen = Text(differences.join("; "));
        tracing::warn!(error = error_chain(&seen), "a sandbox differs from what was ordered");
        return Err(IsolationError::Differs(seen));
    }
    Ok(format!("from outside: all {} processes of a sandbox are runsc", live.processes))
}
