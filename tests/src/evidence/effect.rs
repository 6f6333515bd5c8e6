//! What a program did to the ground, seen from the ground.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{sleep, timeout};

use super::Shot;
use crate::client::Program;
use crate::probe::program::{Values, assemble, canary};
use crate::probe::report::Run;
use crate::range::Range;
use crate::verdict::{By, Verdict};

/// After an evaluation has ended, its processes have this long to be gone.
const GRACE: Duration = Duration::from_millis(700);
/// How often processes are looked for then.
const LOOKS: u32 = 15;
/// A server that does not run `print(1)` within so long is down.
const ALIVE_WITHIN: Duration = Duration::from_secs(15);

fn judge(run: &Run, happened: bool, unstopped: By) -> Verdict {
    if happened { Verdict::Escaped } else { run.contained(unstopped) }
}

/// A file of this name is in a folder of the ground afterwards.
pub(super) async fn file_appears(
    shot: Shot<'_>,
    range: &Range,
    folder: Option<&str>,
) -> Result<Verdict> {
    let folder = folder.map_or(range.ground.folder(), Path::new);
    let path = folder.join(format!("planted-{}", canary()));
    let values = Values::default().with("HOST_PATH", path.display().to_string());
    let run = range.fire(shot.code, &values, shot.seconds).await?;
    let outside = range.ground.outside(&path);
    let happened = outside.symlink_metadata().is_ok();
    if happened {
        std::fs::remove_file(&outside).context("cannot take away what a probe planted")?;
    }
    Ok(judge(&run, happened, By::OwnFiles))
}

/// A file of the ground has other content afterwards, or is gone.
pub(super) async fn file_changed(shot: Shot<'_>, range: &Range) -> Result<Verdict> {
    let path = range.ground.folder().join(format!("victim-{}", canary()));
    let outside = range.ground.outside(&path);
    let before = canary();
    std::fs::write(&outside, &before).context("cannot plant a file")?;
    open_to_all(&outside)?;
    let values = Values::default().with("HOST_FILE", path.display().to_string());
    let run = range.fire(shot.code, &values, shot.seconds).await?;
    let after = std::fs::read_to_string(&outside).unwrap_or_default();
    let _gone = std::fs::remove_file(&outside);
    Ok(judge(&run, after != before, By::OwnFiles))
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?)
}

/// A process that gave itself this name is still there when the evaluation is over.
pub(super) async fn survivor(shot: Shot<'_>, range: &Range) -> Result<Verdict> {
    let name = canary()[..15].to_owned();
    let values = Values::default().with("NAME", name.clone());
    let run = range.fire(shot.code, &values, shot.seconds).await?;
    sleep(GRACE).await;
    let mut happened = false;
    // One that moves on between a look at its number and a look at its name is seen in the end.
    for _ in 0..LOOKS {
        happened |= range.ground.kill(&name);
        sleep(Duration::from_millis(10)).await;
    }
    Ok(judge(&run, happened, By::NothingLeft))
}

/// The platform has an evaluation that nobody but the program can have submitted.
pub(super) async fn resubmits(shot: Shot<'_>, range: &Range) -> Result<Verdict> {
    if range.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage runs one program at a time"));
    }
    let token = canary();
    let values = Values::default()
        .with("ADDRESS", range.address.ip().to_string())
        .with("PORT", range.address.port())
        .with("TOKEN", token.clone());
    let run = range.fire(shot.code, &values, shot.seconds).await?;
    let list = range.client.request(reqwest::Method::GET, "/eval?limit=100").send().await?;
    let happened = list.text().await?.contains(&token);
    Ok(judge(&run, happened, By::OwnNetwork))
}

/// The server answers no more.
pub(super) async fn server_dies(shot: Shot<'_>, range: &Range) -> Result<Verdict> {
    let Ok(pid) = range.server_process() else {
        return Ok(Verdict::NotApplicable("the server was started by somebody else"));
    };
    let values = Values::default().with("SERVER_PID", pid);
    let assembled = assemble(shot.code, &values);
    let mut program = Program::new(assembled.code);
    program.timeout_seconds = Some(f64::from(shot.seconds));
    // A server that was frozen does not even hang up.
    let answer = timeout(ALIVE_WITHIN, range.client.evaluate(&program)).await;
    let alive = timeout(ALIVE_WITHIN, range.client.evaluate(&Program::new("print(1)"))).await;
    let alive = matches!(alive, Ok(Ok(answer)) if answer.stdout() == "1\n");
    match answer {
        Ok(Ok(answer)) => Ok(judge(&Run::new(answer, &assembled.mark), !alive, By::OwnProcesses)),
        _ if !alive => Ok(Verdict::Escaped),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Verdict::Error("no answer, though the server lives".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Answer, Plain};

    #[test]
    fn what_happened_decides() {
        let plain = Plain { output: "@m stopped EROFS\n".to_owned(), error: String::new() };
        let run = Run::new(Answer::Plain(plain), "@m");
        assert_eq!(judge(&run, true, By::OwnFiles), Verdict::Escaped);
        assert_eq!(judge(&run, false, By::OwnFiles), Verdict::Contained(By::ReadOnlyRoot));
    }
}
