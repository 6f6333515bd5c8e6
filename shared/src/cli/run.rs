//! `run FILE`: one program through the stage's real stack, its output streamed as it comes.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::serve::Signals;
use super::{App, BuildError, Exit, RunArgs, Settings, Stage, fail, say};
use crate::output::OutputListener;
use crate::{Evaluation, Outcome, Stream, Submission};

pub(super) async fn run<S: Stage>(settings: &Settings, args: &S::Args, run: &RunArgs) -> ExitCode {
    let submission = match read_submission(settings, run) {
        Ok(submission) => submission,
        Err(error) => return fail(error.as_ref(), Exit::Usage),
    };
    match evaluate::<S>(settings, args, run, submission).await {
        Ok(exit) => exit,
        Err(error) => fail(error.as_ref(), Exit::Platform),
    }
}

fn read_submission(settings: &Settings, run: &RunArgs) -> Result<Submission, BuildError> {
    let code = String::from_utf8(read(&run.file)?)
        .map_err(|_| format!("{} is not UTF-8 text", run.file.display()))?;
    if code.contains('\0') {
        return Err(format!("{} has NUL characters, no Python does", run.file.display()).into());
    }
    let mut submission = Submission::new(code, settings.bounds().default);
    if let Some(file) = &run.stdin {
        submission.stdin = read(file)?;
    }
    Ok(submission)
}

fn read(file: &Path) -> Result<Vec<u8>, BuildError> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()).into())
}

async fn evaluate<S: Stage>(
    settings: &Settings,
    args: &S::Args,
    run: &RunArgs,
    submission: Submission,
) -> Result<ExitCode, BuildError> {
    let mut signals = Signals::listen()?;
    let app = S::build(settings, args).await?;
    let listener: Option<OutputListener> = if run.json { None } else { Some(Box::new(print)) };
    let accepted = app
        .evaluations
        .submit(submission, listener)
        .map_err(|refused| format!("the submission was refused: {refused:?}"))?;
    let finished = app.evaluations.finished(accepted.id).unwrap_or_default();
    tokio::select! {
        () = finished.cancelled() => {}
        () = signals.next() => {
            // It may have ended in this very moment; then there is nothing to cancel.
            let _ended = app.evaluations.cancel(accepted.id);
            tokio::select! {
                () = finished.cancelled() => {}
                () = signals.next() => return Ok(Exit::Interrupted.into()),
            }
        }
    }
    let last = app.evaluations.get(accepted.id).ok_or("the evaluation was lost")?;
    close(&app).await;
    if run.json {
        println!("{}", serde_json::to_string_pretty(&last)?);
    } else if !run.quiet {
        say(&summary(&last));
    }
    Ok(exit_code(&last))
}

async fn close(app: &App) {
    let now = CancellationToken::new();
    now.cancel();
    app.evaluations.shutdown(now).await;
    app.engine.close().await;
}

fn summary(last: &Evaluation) -> String {
    let how = match (last.outcome, last.exit_code, &last.signal) {
        (Some(Outcome::Exited), Some(code), _) => format!("exited {code}"),
        (Some(Outcome::Signaled), _, Some(signal)) => format!("died of {signal}"),
        (Some(outcome), _, _) => outcome.as_str().to_owned(),
        (None, _, _) => "not ended".to_owned(),
    };
    let by = last.evidence.as_ref().map_or("", |evidence| &evidence.decided_by);
    let wall = last.usage.map_or(0, |usage| usage.wall_ms);
    let runtime = last.sandbox.runtime.as_deref();
    let runtime = runtime.map_or_else(String::new, |runtime| format!("/{runtime}"));
    let error = last.error.as_ref().map_or_else(String::new, |error| format!("\nerror: {error}"));
    format!("[{how}, by {by}, in {wall} ms, in {}{runtime}]{error}", last.sandbox.engine)
}

fn exit_code(last: &Evaluation) -> ExitCode {
    let exit = match last.outcome {
        Some(Outcome::Exited) => {
            let code = last.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return ExitCode::from(code);
        }
        Some(Outcome::WallTimeExceeded | Outcome::CpuTimeExceeded) => Exit::TimedOut,
        Some(Outcome::Cancelled) => Exit::Interrupted,
        Some(Outcome::Signaled) => Exit::Killed,
        Some(outcome) if outcome.is_limit() => Exit::Killed,
        _ => Exit::Platform,
    };
    exit.into()
}

/// Passes a program's output on.
///
/// Attack: a program prints escape sequences that repaint the terminal, set its title or write to
/// its clipboard → on a terminal, control characters other than newline and tab are made visible.
/// Into a file or a pipe the bytes go as they are.
fn print(stream: Stream, _offset: u64, chunk: &[u8]) {
    let terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    let shown = if terminal { harmless(chunk) } else { chunk.to_vec() };
    // Whoever closed our output does not want the rest; the program runs on.
    let _closed = match stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(&shown).and_then(|()| out.flush())
        }
        Stream::Stderr => std::io::stderr().lock().write_all(&shown),
    };
}

fn harmless(chunk: &[u8]) -> Vec<u8> {
    let visible = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    String::from_utf8_lossy(chunk).chars().map(visible).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_reaches_a_terminal() {
        let shown = harmless(b"\x1b]0;pwned\x07ok\tyes\n\xc2\x9bJ");
        assert_eq!(String::from_utf8(shown).unwrap(), "\u{fffd}]0;pwned\u{fffd}ok\tyes\n\u{fffd}J");
    }
}
