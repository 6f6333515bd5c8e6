//! The connections of the proxy between a stage and Docker. All requests but the one that creates a
//! container are forwarded unchanged.
//!
//! One task for each connection. The head of a request is parsed for its length and path; after an
//! `Upgrade` the connection carries the streams of a container, and is forwarded unparsed.

use std::io;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{DOCKER, Disabled};

/// Accepts connections until it is aborted.
pub(super) async fn serve(listener: UnixListener, disabled: Disabled) {
    let mut connections = JoinSet::new();
    while let Ok((stage, _)) = listener.accept().await {
        connections.spawn(connection(stage, disabled.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that fails is closed on both sides, which a stage has to handle anyway.
async fn connection(stage: UnixStream, disabled: Disabled) {
    let Ok(docker) = UnixStream::connect(DOCKER).await else { return };
    let (from_stage, mut to_stage) = stage.into_split();
    let (mut from_docker, to_docker) = docker.into_split();
    let answers = async {
        copy(&mut from_docker, &mut to_stage).await.ok();
        to_stage.shutdown().await.ok();
    };
    let requests = async {
        if let Err(error) = requests(from_stage, to_docker, &disabled).await
            && !has_disconnected(&error)
        {
            eprintln!("the proxy dropped a connection: {error:#}");
        }
    };
    tokio::join!(answers, requests);
}

/// Whether one side has closed the connection, which a stage does that is stopped, and Docker after an answer.
fn has_disconnected(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(BrokenPipe | ConnectionReset | UnexpectedEof))
}

async fn requests(
    stage: OwnedReadHalf,
    mut docker: OwnedWriteHalf,
    disabled: &Disabled,
) -> Result<()> {
    let mut stage = BufReader::new(stage);
    while let Some(mut head) = head(&mut stage).await? {
        if head.field("transfer-encoding").is_some() {
            bail!("a request without a content length: {}", head.line());
        }
        let length = head.field("content-length").map_or(Ok(0), str::parse)?;
        let mut body = vec![0; length];
        stage.read_exact(&mut body).await?;
        if head.line().starts_with("POST ") && head.line().contains("/containers/create") {
            let mut order: Value = serde_json::from_slice(&body)
                .context("the request to create a container is JSON")?;
            disabled.alter(&mut order);
            body = serde_json::to_vec(&order)?;
            head.set_content_length(body.len());
        }
        docker.write_all(head.0.as_bytes()).await?;
        docker.write_all(&body).await?;
        if head.field("upgrade").is_some() {
            break;
        }
    }
    // The stage may have exited, which is not an error.
    copy(&mut stage, &mut docker).await.ok();
    docker.shutdown().await.ok();
    Ok(())
}

/// The unchanged lines of a request up to the empty one.
struct Head(String);

/// The next head. None when the stage has closed the connection between two requests.
async fn head(stage: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Head>> {
    let mut text = String::new();
    while stage.read_line(&mut text).await? > 0 {
        if text.ends_with("\r\n\r\n") {
            return Ok(Some(Head(text)));
        }
    }
    Ok(None)
}

impl Head {
    fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    }

    fn set_content_length(&mut self, length: usize) {
        let other = |line: &&str| !line.to_ascii_lowercase().starts_with("content-length:");
        let lines: Vec<_> = self.0.trim_end().lines().filter(other).collect();
        self.0 = format!("{}\r\ncontent-length: {length}\r\n\r\n", lines.join("\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_has_disconnected_is_no_failure_and_a_wrong_request_is_one() {
        let reset = anyhow::Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(has_disconnected(&reset));
        let refused = anyhow::Error::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(!has_disconnected(&refused));
        assert!(!has_disconnected(&anyhow::anyhow!("a request without a content length")));
    }

    #[test]
    fn a_head_gets_another_length_and_keeps_the_rest() {
        let text =
            "POST /containers/create?name=a HTTP/1.1\r\nHost: d\r\nContent-Length: 7\r\n\r\n";
        let mut head = Head(text.to_owned());
        assert_eq!(head.field("content-LENGTH"), Some("7"));
        head.set_content_length(12);
        let expected =
            "POST /containers/create?name=a HTTP/1.1\r\nHost: d\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(head.0, expected);
        assert_eq!((head.field("upgrade"), head.field("host")), (None, Some("d")));
    }
}
