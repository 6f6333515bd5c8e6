//! Secrets that appear in the output only when they leak.
//!
//! Each is fresh for its run (that of the server's environment: for its server), has 128 random
//! bits and is never in the submitted code.

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

/// Without a planted secret, the probe does not apply.
const NOT_STARTED_BY_LADDER: Verdict =
    Verdict::NotApplicable("the ladder did not start this server");

/// Escaped when the secret is in the output.
fn judge(run: &Run, secrets: &[String], unstopped: By) -> Verdict {
    if secrets.iter().any(|secret| run.shows(secret)) {
        return Verdict::Escaped;
    }
    run.contained(unstopped)
}

/// A world-readable file of the host environment.
pub(super) async fn file(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let secret = canary();
    let path = testbed.host.dir().join(format!("secret-{}", canary()));
    let outside = testbed.host.outside(&path);
    std::fs::write(&outside, format!("{secret}\n"))
        .with_context(|| format!("cannot plant {}", outside.display()))?;
    let values = Values::default().with("HOST_FILE", path.display().to_string());
    let run = testbed.run(program.code, &values, program.seconds).await;
    // A probe may have removed it.
    std::fs::remove_file(&outside).ok();
    Ok(judge(&run?, &[secret], By::OwnFiles))
}

/// The environment that the server was started with.
pub(super) async fn environment(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_STARTED_BY_LADDER) };
    let values = Values::default().with("SECRET_NAME", SECRET_NAME);
    let run = testbed.run(program.code, &values, program.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.environment), By::CleanEnvironment))
}

/// The command line and the environment of another process.
pub(super) async fn process(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&testbed.host.decoy), By::OwnProcesses))
}

/// A service that returns it to every client, as a cloud's metadata service does.
pub(super) async fn service(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let secret = canary();
    let addresses = testbed.host.metadata_addresses();
    let (listeners, port) = bind_tcp(testbed, &addresses).await?;
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        serving.spawn(serve_secret(listener, secret.clone()));
    }
    let values = Values::default().with("ADDRESSES", texts(&addresses)).with("PORT", port);
    let run = testbed.run(program.code, &values, program.seconds).await?;
    Ok(judge(&run, &[secret], By::OwnNetwork))
}

async fn serve_secret(listener: TcpListener, secret: String) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let answer = format!(
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{secret}",
            secret.len()
        );
        // A client that disconnects has not received it.
        if socket.read(&mut request).await.is_ok() {
            socket.write_all(answer.as_bytes()).await.ok();
        }
    }
}

/// Credentials in the home directory of the server's user.
pub(super) async fn home(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_STARTED_BY_LADDER) };
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.home), By::OwnFiles))
}

/// A file that the server inherited open.
pub(super) async fn descriptor(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let Some(secrets) = &testbed.secrets else { return Ok(NOT_STARTED_BY_LADDER) };
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    Ok(judge(&run, std::slice::from_ref(&secrets.descriptor), By::CleanEnvironment))
}

/// The retained output of another client's program.
pub(super) async fn evaluation(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage retains no evaluations"));
    }
    let secret = canary();
    let theirs = testbed.client.evaluate(&Program::new(format!("print('{secret}')"))).await?;
    if !theirs.stdout().contains(&secret) {
        return Ok(Verdict::Error("the other client's program did not run".to_owned()));
    }
    let values = Values::default()
        .with("ADDRESS", testbed.address.ip().to_string())
        .with("PORT", testbed.address.port());
    let run = testbed.run(program.code, &values, program.seconds).await?;
    Ok(judge(&run, &[secret], By::OwnNetwork))
}

/// A name or number of the machine itself.
pub(super) async fn fact(program: ProbeRun<'_>, testbed: &Testbed, fact: Fact) -> Result<Verdict> {
    let known = facts::known(testbed, fact).await?;
    if known.is_empty() {
        return Ok(Verdict::NotApplicable("this machine has none"));
    }
    let values = Values::default().with("ADDRESS", SocketAddr::to_string(&testbed.address));
    let run = testbed.run(program.code, &values, program.seconds).await?;
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
