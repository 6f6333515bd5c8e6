//! `run FILE`: one program on the components of the stage, its output streamed as it is written.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use shared::cli::{BuildError, Exit, Settings, Signals, Stage, eprint_line};
use shared::output::OutputListener;
use shared::{Evaluation, Outcome, RequestContext, Stream, Submission, harmless};

/// What to run, and what to print.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Python file to evaluate; `-` reads it from standard input
    file: PathBuf,
    /// File for the program's standard input; `-` passes this command's standard input on
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Print the final evaluation as JSON instead of streaming its output
    #[arg(long)]
    json: bool,
    /// Print the output of the program only
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the program, and returns the exit code of `run`.
pub(super) async fn run<S: Stage>(settings: &Settings, args: &S::Args, run: &RunArgs) -> Exit {
    let submission = match read_submission(settings, run) {
        Ok(submission) => submission,
        Err(error) => return error.print(Exit::USAGE),
    };
    let evaluated = evaluate::<S>(settings, args, run, submission).await;
    evaluated.unwrap_or_else(|error| error.print(Exit::PLATFORM))
}

fn read_submission(settings: &Settings, run: &RunArgs) -> Result<Submission, BuildError> {
    let code = String::from_utf8(read(&run.file)?)
        .map_err(|_| BuildError::new(format!("{} is not UTF-8 text", run.file.display())))?;
    if code.contains('\0') {
        let file = run.file.display();
        return Err(BuildError::new(format!("{file} has NUL characters, no Python does")));
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
    let cannot_read =
        |error| BuildError::from(error).context(format!("cannot read {}", file.display()));
    std::fs::read(file).map_err(cannot_read)
}

async fn evaluate<S: Stage>(
    settings: &Settings,
    args: &S::Args,
    run: &RunArgs,
    submission: Submission,
) -> Result<Exit, BuildError> {
    let mut signals = Signals::listen()?;
    let app = S::build(settings, args).await?;
    let listener: Option<OutputListener> = if run.json { None } else { Some(Box::new(print)) };
    let context = RequestContext::internal();
    let evaluations = &app.evaluations;
    let failed = |error| BuildError::from(error).context("the program was not run");
    let id = evaluations.submit(&context, submission, listener).await.map_err(failed)?.id;
    let mut end = evaluations.wait(&context, id, Duration::MAX);
    let last = tokio::select! {
        last = &mut end => last,
        () = signals.next() => {
            // It may have ended in this moment; then there is nothing to cancel.
            evaluations.cancel(&context, id).await.ok();
            tokio::select! {
                last = &mut end => last,
                () = signals.next() => return Ok(Exit::INTERRUPTED),
            }
        }
    };
    let last = last.map_err(failed)?;
    super::close_now(&app).await;
    if run.json {
        let text = serde_json::to_string_pretty(&last).map_err(anyhow::Error::from)?;
        println!("{text}");
    } else if !run.quiet {
        eprint_line(&summary(&last));
    }
    Ok(exit(&last))
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
    let sandbox = last.sandbox.clone().unwrap_or_default();
    let runtime = sandbox.runtime.map_or_else(String::new, |runtime| format!("/{runtime}"));
    let engine = format!("{}{runtime}", sandbox.engine);
    describe(&how, by, wall, &engine, last.error.as_deref())
}

/// The summary's text. Some of it may come from a sandbox.
fn describe(how: &str, by: &str, wall: u64, engine: &str, error: Option<&str>) -> String {
    let error = error.map_or_else(String::new, |error| format!("\nerror: {error}"));
    harmless(&format!("[{how}, by {by}, in {wall} ms, in {engine}]{error}"))
}

fn exit(last: &Evaluation) -> Exit {
    match last.outcome {
        Some(Outcome::Exited) => {
            let code = last.exit_code.and_then(|code| u8::try_from(code).ok());
            Exit(code.unwrap_or(1))
        }
        Some(Outcome::WallTimeExceeded | Outcome::CpuTimeExceeded) => Exit::TIMED_OUT,
        Some(Outcome::Cancelled) => Exit::INTERRUPTED,
        Some(Outcome::Signaled) => Exit::KILLED,
        Some(outcome) if outcome.is_limit() => Exit::KILLED,
        _ => Exit::PLATFORM,
    }
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
    let text = || harmless(&String::from_utf8_lossy(chunk)).into_bytes();
    let shown = if terminal { text() } else { chunk.to_vec() };
    let written = match stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(&shown).and_then(|()| out.flush())
        }
        Stream::Stderr => std::io::stderr().lock().write_all(&shown),
    };
    written.ok(); // the reader has closed the output: the rest is dropped, and the program runs on
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever an engine has put into it.
    #[test]
    fn no_escape_sequence_is_in_the_summary() {
        let verdict = shared::Verdict::engine_error("\x1b]0;pwned\x07");
        assert_eq!(verdict.error.as_deref(), Some("\u{fffd}]0;pwned\u{fffd}"));
        let line = describe("failed\x1b[31m", "x", 1, "docker\x1b[2J", Some("\x1b[1m"));
        assert!(!line.contains('\x1b'), "{line}");
    }
}
