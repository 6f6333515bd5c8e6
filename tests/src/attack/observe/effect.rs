//! What a program did to the ground, seen from the ground.

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

/// After an evaluation has ended, its processes have this long to be gone.
const GRACE: Duration = Duration::from_millis(700);
/// How often processes are looked for then.
const LOOKS: u32 = 15;
/// A server that does not run `print(1)` within so long is down.
const ALIVE_WITHIN: Duration = Duration::from_secs(15);

fn judge(run: &Run, happened: bool, unstopped: By) -> Verdict {
    if happened { Verdict::Escaped } else { run.contained(unstopped) }
}

/// A file of this name is in a directory of the ground afterwards.
pub(super) async fn file_appears(
    run: ProbeRun<'_>,
    testbed: &Testbed,
    dir: Option<&str>,
) -> Result<Verdict> {
    let dir = dir.map_or(testbed.ground.dir(), Path::new);
    let path = dir.join(format!("planted-{}", canary()));
    let values = Values::default().with("HOST_PATH", path.display().to_string());
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    let outside = testbed.ground.outside(&path);
    let happened = outside.symlink_metadata().is_ok();
    if happened {
        std::fs::remove_file(&outside).context("cannot take away what a probe planted")?;
    }
    Ok(judge(&run, happened, By::OwnFiles))
}

/// A file of the ground has other content afterwards, or is gone.
pub(super) async fn file_changed(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let path = testbed.ground.dir().join(format!("victim-{}", canary()));
    let outside = testbed.ground.outside(&path);
    let before = canary();
    std::fs::write(&outside, &before).context("cannot plant a file")?;
    open_to_all(&outside)?;
    let values = Values::default().with("HOST_FILE", path.display().to_string());
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    let after = std::fs::read_to_string(&outside).unwrap_or_default();
    std::fs::remove_file(&outside).ok();
    Ok(judge(&run, after != before, By::OwnFiles))
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?)
}

/// A process that gave itself this name is still there when the evaluation is over.
pub(super) async fn survivor(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let name = canary()[..15].to_owned();
    let values = Values::default().with("NAME", name.clone());
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    sleep(GRACE).await;
    let mut happened = false;
    // One that moves on between a look at its number and a look at its name is seen in the end.
    for _ in 0..LOOKS {
        happened |= testbed.ground.kill(&name);
        sleep(Duration::from_millis(10)).await;
    }
    Ok(judge(&run, happened, By::NothingLeft))
}

/// The platform has an evaluation that nobody but the program can have submitted.
pub(super) async fn resubmits(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage runs one program at a time"));
    }
    let token = canary();
    let values = Values::default()
        .with("ADDRESS", testbed.address.ip().to_string())
        .with("PORT", testbed.address.port())
        .with("TOKEN", token.clone());
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    let list = testbed.client.request(reqwest::Method::GET, "/eval?limit=100").send().await?;
    let happened = list.text().await?.contains(&token);
    Ok(judge(&run, happened, By::OwnNetwork))
}

/// The server answers no more.
pub(super) async fn server_dies(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Ok(pid) = testbed.server_process() else {
        return Ok(Verdict::NotApplicable("the server was started by somebody else"));
    };
    let values = Values::default().with("SERVER_PID", pid);
    let assembled = assemble(run.code, &values);
    let mut program = Program::new(assembled.code);
    program.timeout_seconds = Some(f64::from(run.seconds));
    // A server that was frozen does not even hang up.
    let answer = timeout(ALIVE_WITHIN, testbed.client.evaluate(&program)).await;
    let alive = timeout(ALIVE_WITHIN, testbed.client.evaluate(&Program::new("print(1)"))).await;
    let alive = matches!(alive, Ok(Ok(answer)) if answer.stdout() == "1\n");
    match answer {
        Ok(Ok(answer)) => Ok(judge(&Run::new(answer, &assembled.marker), !alive, By::OwnProcesses)),
        _ if !alive => Ok(Verdict::Escaped),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Verdict::Error("no answer, though the server lives".to_owned())),
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
