//! Crashes: the server is killed at random moments and at every failpoint, under load, and what its
//! clients have seen is checked.

mod history;
mod load;

use std::path::Path;
use std::time::{Duration, SystemTime};

use harness::Launch;

use crate::stage;
use history::History;
pub(crate) use load::has_exited;

/// Kills in the test command; `just crash` does more.
const CRASHES: u32 = 50;
/// How long a server may live under load until a failpoint has killed it.
const FAILPOINT_TIMEOUT: Duration = Duration::from_secs(20);

/// A generator of numbers that a failure can be repeated with.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = u64::from(now.subsec_nanos()) << 20 | now.as_secs() | 1;
        println!("seed: {seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Serves under load until `end` has killed the server.
async fn round(launch: Launch, history: &History, end: impl AsyncFnOnce(&harness::Server)) {
    // A failpoint may kill it before it listens.
    let Ok(server) = launch.try_start() else { return };
    let load = load::start(&server, history);
    end(&server).await;
    server.kill();
    load.ended().await;
}

/// Starts the server once more, and checks everything that was seen.
async fn check(directory: &Path, history: &History) {
    let server = stage::start(directory);
    load::finish(&server, history).await;
    assert_eq!(server.stop(), Some(0));
    history.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_accepted_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (history, mut random) = (History::default(), Random::new());
    let crashes = std::env::var("CRUCIBLE_CRASHES").ok();
    let crashes = crashes.map_or(CRASHES, |text| text.parse().unwrap());
    for crash in 1..=crashes {
        let pause = Duration::from_millis(random.below(600));
        let kill = async |_: &harness::Server| tokio::time::sleep(pause).await;
        round(stage::on(directory.path()), &history, kill).await;
        if crash % 100 == 0 {
            eprintln!("{crash} of {crashes}");
        }
    }
    check(directory.path(), &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_failpoint_nothing_accepted_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::default();
    for name in stage_09_frontier::FAILPOINTS {
        let is_file = name.starts_with("files.");
        for passes in if is_file { [0, 1, 2] } else { [0, 4, 25] } {
            let action = format!("{name}={passes}*off->return(kill)");
            let launch = stage::on(directory.path()).env("FAILPOINTS", action);
            let dies = async |server: &harness::Server| {
                harness::eventually(&format!("{name} kills"), FAILPOINT_TIMEOUT, || {
                    load::has_exited(server)
                })
                .await;
            };
            round(launch, &history, dies).await;
        }
    }
    check(directory.path(), &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_loses_nothing_that_was_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::default();
    for name in stage_09_frontier::FAILPOINTS {
        if *name == "store.after_commit" {
            continue; // what is on disk cannot fail any more
        }
        let action = format!("{name}=6*off->3*return(error)->off");
        let launch = stage::on(directory.path()).env("FAILPOINTS", action);
        let serves = async |_: &harness::Server| tokio::time::sleep(Duration::from_secs(2)).await;
        round(launch, &history, serves).await;
    }
    check(directory.path(), &history).await;
}
