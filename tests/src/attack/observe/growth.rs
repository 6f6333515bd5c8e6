//! What a program took, by the host's own counters.
//!
//! A counter inside proves nothing: gVisor's kernel was seen to report three seconds of processor
//! time where the host had given one. The host's is that of the control group that the program's
//! processes are in: the jail's, or that of a sandbox of the stage's.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::ProbeRun;
use super::sampler::while_running;
use crate::attack::probe::Resource;
use crate::attack::probe::program::{Values, canary};
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::testbed::cgroup::Counters;
use crate::attack::verdict::{By, Verdict};

/// How often the counters are read.
const EVERY: Duration = Duration::from_millis(40);
/// Processor time is measured over so long: over less, one tick of a scheduler shows.
const WINDOW: Duration = Duration::from_millis(800);

pub(super) async fn grows(
    run: ProbeRun<'_>,
    testbed: &Testbed,
    resource: Resource,
    limit: u64,
) -> Result<Verdict> {
    let name = format!("grows-{}", canary());
    let path = testbed.ground.dir().join(&name);
    let values = Values::default()
        .with("AMOUNT", limit + limit / 2)
        .with("FILE_NAME", name)
        .with("HOST_PATH", path.display().to_string());
    let mut meter = Meter::start(testbed, resource)?;
    let work = testbed.fire(run.code, &values, run.seconds);
    let run = while_running(work, EVERY, async || meter.look(testbed).await).await?;
    // A file of this size is not left to the next probe.
    std::fs::remove_file(testbed.ground.outside(&path)).ok();
    let Some(most) = meter.most else {
        bail!("no counter could be read while the probe ran: {}", meter.error)
    };
    Ok(judge(&run, most, limit, resource))
}

fn judge(run: &Run, most: u64, limit: u64, resource: Resource) -> Verdict {
    if most > limit {
        return Verdict::Escaped;
    }
    run.contained(match resource {
        Resource::Cpu => By::CpuShare,
        _ => By::Bounded,
    })
}

/// The most that was seen, in the unit of the resource.
struct Meter {
    resource: Resource,
    baseline: u64,
    window: Option<(Instant, Duration)>,
    most: Option<u64>,
    /// Why a counter could not be read, the last time that it could not.
    error: String,
}

impl Meter {
    fn start(testbed: &Testbed, resource: Resource) -> Result<Self> {
        let mut meter =
            Self { resource, baseline: 0, window: None, most: None, error: String::new() };
        let jail = testbed.ground.as_jail();
        meter.baseline = match (jail, resource) {
            (_, Resource::Root) => free(&testbed.ground.outside(Path::new("/")))?,
            (Some(_), Resource::Disk) => free(&testbed.ground.outside(Path::new("/tmp")))?,
            (Some(jail), _) => meter.amount(&jail.cgroup.group().counters()?).unwrap_or(0),
            (None, _) => 0,
        };
        Ok(meter)
    }

    async fn look(&mut self, testbed: &Testbed) {
        let less = |path: &str| {
            let now = free(&testbed.ground.outside(Path::new(path))).ok();
            now.map(|now| self.baseline.saturating_sub(now))
        };
        let amount = match (testbed.ground.as_jail(), self.resource) {
            (Some(_), Resource::Disk) => less("/tmp"),
            (Some(_), Resource::Root) => less("/"),
            (None, Resource::Root) => {
                let taken = less("/").unwrap_or(0);
                self.known(testbed.written(taken).await)
            }
            (Some(jail), _) => {
                let counters = jail.cgroup.group().counters().ok();
                counters.and_then(|counters| {
                    Some(self.amount(&counters)?.saturating_sub(self.baseline))
                })
            }
            (None, _) => {
                let counters = self.known(testbed.containers().await);
                counters.and_then(|counters| self.amount(&counters))
            }
        };
        self.most = self.most.max(amount);
    }

    /// What was read, if it could be; why not is kept for the message.
    fn known<T>(&mut self, read: Result<Option<T>>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.error = format!("{error:#}");
            None
        })
    }

    /// The counter that counts, in the unit of the resource. None for a rate until it is known.
    fn amount(&mut self, counters: &Counters) -> Option<u64> {
        match self.resource {
            // What a container writes to its tmpfs is memory of its control group.
            Resource::Memory | Resource::Disk => Some(counters.memory >> 20),
            // No control group counts that.
            Resource::Root => None,
            Resource::Processes => Some(counters.processes),
            Resource::Cpu => {
                let now = (Instant::now(), counters.cpu);
                let (then, before) = *self.window.get_or_insert(now);
                let passed = now.0 - then;
                if passed < WINDOW {
                    // Known to be measured, and nothing yet.
                    return Some(0);
                }
                self.window = Some(now);
                let used = now.1.saturating_sub(before).as_micros() * 100;
                u64::try_from(used / passed.as_micros().max(1)).ok()
            }
        }
    }
}

/// Free space of a file system, in MiB.
fn free(path: &Path) -> Result<u64> {
    let stat =
        rustix::fs::statvfs(path).with_context(|| format!("cannot measure {}", path.display()))?;
    Ok((stat.f_bfree * stat.f_frsize) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    #[test]
    fn the_hosts_counter_decides() {
        let plain = Plain { output: "@m finished -\n".to_owned(), error: String::new() };
        let run = Run::new(Answer::Plain(plain), "@m");
        assert_eq!(judge(&run, 401, 400, Resource::Memory), Verdict::Escaped);
        let bounded = judge(&run, 400, 400, Resource::Memory);
        assert_eq!(bounded, Verdict::Contained(By::Bounded));
        assert_eq!(judge(&run, 100, 130, Resource::Cpu), Verdict::Contained(By::CpuShare));
    }

    #[test]
    fn processor_time_is_a_rate() {
        let (resource, now) = (Resource::Cpu, Instant::now());
        let mut meter =
            Meter { resource, baseline: 0, window: None, most: None, error: String::new() };
        let counters =
            |millis| Counters { memory: 0, processes: 0, cpu: Duration::from_millis(millis) };
        assert_eq!(meter.amount(&counters(500)), Some(0));
        meter.window = now.checked_sub(Duration::from_secs(1)).map(|then| (then, Duration::ZERO));
        let rate = meter.amount(&counters(2000)).unwrap();
        assert!((190..=200).contains(&rate), "{rate}");
    }
}
