//! Effects of a program on the host environment, observed from there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{sleep, timeout};

use super::ProbeRun;
use crate::attack::probe::program::{Values, assemble, canary};
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Program;

/// How long the processes of an evaluation may take to disappear after its end.
const EXIT_GRACE: Duration = Duration::from_millis(700);
/// How often they are searched for.
const MAX_SCANS: u32 = 15;
/// A server that does not run `print(1)` within this time is down.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

fn judge(run: &Run, happened: bool, unstopped: By) -> Verdict {
    if happened { Verdict::Escaped } else { run.contained(unstopped) }
}

/// Escaped when a file of this name is in a directory of the host environment afterwards.
pub(super) async fn file_appears(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    dir: Option<&str>,
) -> Result<Verdict> {
    let dir = dir.map_or(testbed.host.dir(), Path::new);
    let path = dir.join(format!("planted-{}", canary()));
    let values = Values::default().with("HOST_PATH", path.display().to_string());
    let run = testbed.run(program.code, &values, program.seconds).await?;
    let outside = testbed.host.outside(&path);
    let happened = outside.symlink_metadata().is_ok();
    if happened {
        std::fs::remove_file(&outside).context("cannot remove the file that a probe planted")?;
    }
    Ok(judge(&run, happened, By::OwnFiles))
}

/// Escaped when a file of the host environment has changed or is gone afterwards.
pub(super) async fn file_changed(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let path = testbed.host.dir().join(format!("victim-{}", canary()));
    let outside = testbed.host.outside(&path);
    let before = canary();
    std::fs::write(&outside, &before).context("cannot plant a file")?;
    open_to_all(&outside)?;
    let values = Values::default().with("HOST_FILE", path.display().to_string());
    let run = testbed.run(program.code, &values, program.seconds).await?;
    let after = std::fs::read_to_string(&outside).unwrap_or_default();
    std::fs::remove_file(&outside).ok();
    Ok(judge(&run, after != before, By::OwnFiles))
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?)
}

/// Escaped when a process of this name still runs after the evaluation has ended.
pub(super) async fn survivor(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let name = canary()[..15].to_owned();
    let values = Values::default().with("NAME", name.clone());
    let run = testbed.run(program.code, &values, program.seconds).await?;
    sleep(EXIT_GRACE).await;
    let mut happened = false;
    // A process that forks on between two reads of /proc is found by a later scan.
    for _ in 0..MAX_SCANS {
        happened |= testbed.host.kill(&name);
        sleep(Duration::from_millis(10)).await;
    }
    Ok(judge(&run, happened, By::NothingLeft))
}

/// Escaped when the platform has an evaluation that only the program can have submitted.
pub(super) async fn resubmits(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage runs one program at a time"));
    }
    let token = canary();
    let values = Values::default()
        .with("ADDRESS", testbed.address.ip().to_string())
        .with("PORT", testbed.address.port())
        .with("TOKEN", token.clone());
    let run = testbed.run(program.code, &values, program.seconds).await?;
    let list = testbed.client.request(reqwest::Method::GET, "/eval?limit=100").send().await?;
    let happened = list.text().await?.contains(&token);
    Ok(judge(&run, happened, By::OwnNetwork))
}

/// Escaped when the server no longer responds.
pub(super) async fn server_dies(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Ok(pid) = testbed.server_process() else {
        return Ok(Verdict::NotApplicable("the ladder did not start this server"));
    };
    let values = Values::default().with("SERVER_PID", pid);
    let assembled = assemble(testbed.language(), program.code, &values);
    let mut submission = Program::new(assembled.code);
    submission.timeout_seconds = Some(f64::from(program.seconds));
    // A frozen server does not even close connections.
    let answer = timeout(ALIVE_TIMEOUT, testbed.programs().evaluate(&submission)).await;
    let alive = timeout(ALIVE_TIMEOUT, testbed.client.evaluate(&Program::new("print(1)"))).await;
    let alive = matches!(alive, Ok(Ok(answer)) if answer.stdout() == "1\n");
    match answer {
        Ok(Ok(answer)) => Ok(judge(&Run::new(answer, &assembled.marker), !alive, By::OwnProcesses)),
        _ if !alive => Ok(Verdict::Escaped),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Verdict::Error("no response, although the server runs".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    #[test]
    fn what_happened_decides() {
        let plain = Plain { output: "@m stopped EROFS\n".to_owned(), error: String::new() };
        let run = Run::new(Answer::Plain(plain), "@m");
        assert_eq!(judge(&run, true, By::OwnFiles), Verdict::Escaped);
        assert_eq!(judge(&run, false, By::OwnFiles), Verdict::Contained(By::ReadOnlyRoot));
    }
}
