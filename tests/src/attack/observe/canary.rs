//! Secrets that only a leak can bring into the output.
//!
//! Each is fresh for its run (that of the server's environment: for its server), has 128 random bits
//! and is never in the submitted code.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::ProbeRun;
use super::listener::{bind_tcp, texts};
use crate::attack::probe::Fact;
use crate::attack::probe::program::{Values, canary};
use crate::attack::probe::report::Run;
use crate::attack::testbed::secrets::SECRET_NAME;
use crate::attack::testbed::{Testbed, facts};
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Program;

/// What was not laid out cannot be found.
const NOT_OURS: Verdict = Verdict::NotApplicable("the server was started by somebody else");

/// The secret is in the output, or something kept it from there.
fn judge(run: &Run, secrets: &[String], unstopped: By) -> Verdict {
    if secrets.iter().any(|secret| run.shows(secret)) {
        return Verdict::Escaped;
    }
    run.contained(unstopped)
}

/// A file that everybody on the ground can read.
pub(super) async fn file(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let secret = canary();
    let path = testbed.ground.dir().join(format!("secret-{}", canary()));
    let outside = testbed.ground.outside(&path);
    std::fs::write(&outside, format!("{secret}\n"))
        .with_context(|| format!("cannot plant {}", outside.display()))?;
    let values = Values::default().with("HOST_FILE", path.display().to_string());
    let run = testbed.fire(run.code, &values, run.seconds).await;
    // A probe may have taken it away.
    std::fs::remove_file(&outside).ok();
    Ok(judge(&run?, &[secret], By::OwnFiles))
}

/// The environment that the server was started with.
pub(super) async fn environment(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_OURS) };
    let values = Values::default().with("SECRET_NAME", SECRET_NAME);
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.environment), By::CleanEnvironment))
}

/// The command line and the environment of another process.
pub(super) async fn process(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let run = testbed.fire(run.code, &Values::default(), run.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&testbed.ground.decoy), By::OwnProcesses))
}

/// A service that hands it out to whoever asks, as a cloud's metadata service does.
pub(super) async fn service(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let secret = canary();
    let addresses = testbed.ground.metadata_addresses();
    let (listeners, port) = bind_tcp(testbed, &addresses).await?;
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        serving.spawn(hand_out(listener, secret.clone()));
    }
    let values = Values::default().with("ADDRESSES", texts(&addresses)).with("PORT", port);
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    Ok(judge(&run, &[secret], By::OwnNetwork))
}

async fn hand_out(listener: TcpListener, secret: String) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let answer = format!(
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{secret}",
            secret.len()
        );
        // Whoever hangs up has not got it.
        if socket.read(&mut request).await.is_ok() {
            socket.write_all(answer.as_bytes()).await.ok();
        }
    }
}

/// Credentials in the home of the user who started the server.
pub(super) async fn home(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_OURS) };
    let run = testbed.fire(run.code, &Values::default(), run.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.home), By::OwnFiles))
}

/// A file that is open in the server, and that it does not know of.
pub(super) async fn descriptor(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_OURS) };
    let run = testbed.fire(run.code, &Values::default(), run.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.descriptor), By::CleanEnvironment))
}

/// What somebody else's program printed, which the platform keeps.
pub(super) async fn evaluation(run: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage keeps nothing"));
    }
    let secret = canary();
    let theirs = testbed.client.evaluate(&Program::new(format!("print('{secret}')"))).await?;
    if !theirs.stdout().contains(&secret) {
        return Ok(Verdict::Error("somebody else's program did not run".to_owned()));
    }
    let values = Values::default()
        .with("ADDRESS", testbed.address.ip().to_string())
        .with("PORT", testbed.address.port());
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    Ok(judge(&run, &[secret], By::OwnNetwork))
}

/// A name or number of the machine itself.
pub(super) async fn fact(run: ProbeRun<'_>, testbed: &Testbed, fact: Fact) -> Result<Verdict> {
    let known = facts::known(testbed, fact).await?;
    if known.is_empty() {
        return Ok(Verdict::NotApplicable("this machine has none"));
    }
    let values = Values::default().with("ADDRESS", SocketAddr::to_string(&testbed.address));
    let run = testbed.fire(run.code, &values, run.seconds).await?;
    Ok(judge(&run, &known, By::OwnNames))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    #[test]
    fn only_the_secret_itself_is_a_leak() {
        let secret = [canary()];
        let run = |output: String| {
            let plain = Plain { output, error: String::new() };
            Run::new(Answer::Plain(plain), "@m")
        };
        let leaked = run(format!("I am root\n{}\n", secret[0]));
        assert_eq!(judge(&leaked, &secret, By::OwnFiles), Verdict::Escaped);
        let boast = run("PWNED, I am root\n@m finished -\n".to_owned());
        assert_eq!(judge(&boast, &secret, By::OwnFiles), Verdict::Contained(By::OwnFiles));
        let half = run(format!("{}\n@m stopped ENOENT\n", &secret[0][..31]));
        assert_eq!(judge(&half, &secret, By::OwnNames), Verdict::Contained(By::OwnFiles));
        let nothing = judge(&run(String::new()), &secret, By::OwnFiles);
        assert!(matches!(nothing, Verdict::Error(_)), "{nothing:?}");
    }
}
