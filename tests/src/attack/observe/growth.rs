//! The resources that a program used, by the host's counters.
//!
//! A counter inside the sandbox proves nothing: gVisor's kernel was seen to report three seconds of
//! processor time where the host had given one. The host's counters are those of the control group
//! with the program's processes: the jail's, or that of a sandbox of the stage.
//!
//! How much of the processors a program gets depends on what else the machine does. So a program that
//! computed while no quota was in force has escaped, however little it got.

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
const SAMPLE_INTERVAL: Duration = Duration::from_millis(40);
/// The interval over which processor time is measured: over a shorter one, single ticks distort it.
const CPU_WINDOW: Duration = Duration::from_millis(800);

pub(super) async fn grows(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    resource: Resource,
    limit: u64,
) -> Result<Verdict> {
    let name = format!("grows-{}", canary());
    let path = testbed.host.dir().join(&name);
    let values = Values::default()
        .with("AMOUNT", limit + limit / 2)
        .with("FILE_NAME", name)
        .with("HOST_PATH", path.display().to_string());
    let mut meter = Meter::start(testbed, resource)?;
    let work = testbed.run(program.code, &values, program.seconds);
    let run = while_running(work, SAMPLE_INTERVAL, async || meter.look(testbed).await).await?;
    // The next probe needs the space.
    std::fs::remove_file(testbed.host.outside(&path)).ok();
    let Some(most) = meter.most else {
        bail!("no counter could be read while the probe ran: {}", meter.error)
    };
    let unlimited = resource == Resource::Cpu && meter.cpu_quota.is_some_and(|quota| quota > limit);
    Ok(judge(&run, if unlimited { u64::MAX } else { most }, limit, resource))
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

/// The maximum, in the unit of the resource.
struct Meter {
    resource: Resource,
    baseline: u64,
    window: Option<(Instant, Duration)>,
    most: Option<u64>,
    /// The quota of processor time while the program used some, in hundredths of a processor.
    cpu_quota: Option<u64>,
    /// The last error of a read.
    error: String,
}

impl Meter {
    fn start(testbed: &Testbed, resource: Resource) -> Result<Self> {
        let mut meter = Self {
            resource,
            baseline: 0,
            window: None,
            most: None,
            cpu_quota: None,
            error: String::new(),
        };
        let jail = testbed.host.as_jail();
        meter.baseline = match (jail, resource) {
            (_, Resource::Root) => free(&testbed.host.outside(Path::new("/")))?,
            (Some(_), Resource::Disk) => free(&testbed.host.outside(Path::new("/tmp")))?,
            (Some(jail), _) => meter.amount(&jail.cgroup.group().counters()?).unwrap_or(0),
            (None, _) => 0,
        };
        Ok(meter)
    }

    async fn look(&mut self, testbed: &Testbed) {
        let less = |path: &str| {
            let now = free(&testbed.host.outside(Path::new(path))).ok();
            now.map(|now| self.baseline.saturating_sub(now))
        };
        let amount = match (testbed.host.as_jail(), self.resource) {
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

    /// The value, if it could be read; an error is saved for the message.
    fn known<T>(&mut self, read: Result<Option<T>>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.error = format!("{error:#}");
            None
        })
    }

    /// The relevant counter, in the unit of the resource. None for a rate before the second read.
    fn amount(&mut self, counters: &Counters) -> Option<u64> {
        match self.resource {
            // A tmpfs is counted as memory of the control group that writes to it.
            Resource::Memory | Resource::Disk => Some(counters.memory >> 20),
            // No control group counts this.
            Resource::Root => None,
            Resource::Processes => Some(counters.processes),
            Resource::Cpu => {
                let now = (Instant::now(), counters.cpu);
                let (then, before) = *self.window.get_or_insert(now);
                let passed = now.0 - then;
                if passed < CPU_WINDOW {
                    // The first value of a rate.
                    return Some(0);
                }
                self.window = Some(now);
                if now.1 > before {
                    self.cpu_quota = self.cpu_quota.max(Some(counters.cpu_quota));
                }
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
        let mut meter = Meter {
            resource,
            baseline: 0,
            window: None,
            most: None,
            cpu_quota: None,
            error: String::new(),
        };
        let counters = |millis| Counters {
            cpu: Duration::from_millis(millis),
            cpu_quota: 50,
            ..Counters::default()
        };
        assert_eq!(meter.amount(&counters(500)), Some(0));
        meter.window = now.checked_sub(Duration::from_secs(1)).map(|then| (then, Duration::ZERO));
        let rate = meter.amount(&counters(2000)).unwrap();
        // The test may have been held up, so that the window is longer than a second.
        assert!((1..=200).contains(&rate), "{rate}");
        assert_eq!(meter.cpu_quota, Some(50));
    }
}
