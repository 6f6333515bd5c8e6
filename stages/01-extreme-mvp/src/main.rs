//! Stage 1: a web server that runs every Python program it is sent. On your machine. As you.
//! Nothing is monitored or contained, and only time is limited. The fear you feel is the point.

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command, sync::Mutex, time::timeout};

// ANCHOR: page
const PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Stage 1</title>
<style>body{font:16px system-ui;max-width:44em;margin:2em auto;padding:0 1em}textarea{width:100%}</style>
<h1>Type Python. It runs on this machine.</h1>
<p>Harmless-looking things that are not:
<button value="print(open('/etc/passwd').read())">read a file</button>
<button value="import os; print(dict(os.environ))">read the secrets</button>
<button value="from subprocess import *
print(Popen(['sleep', '600'], stdout=DEVNULL, stderr=DEVNULL).pid, 'goes on')">never leave</button>
<textarea id="code" rows="10" aria-label="Python program">print(6 * 7)</textarea>
<p><button id="run">Run</button><pre id="answer"></pre>
<script>
const code = document.getElementById("code"), answer = document.getElementById("answer");
for (const b of document.querySelectorAll("button[value]")) b.onclick = () => { code.value = b.value };
document.getElementById("run").onclick = async () => {
  answer.textContent = "running, and everybody else waits ...";
  const body = JSON.stringify({ code: code.value });
  const { output, error } = await (await fetch("/eval", { method: "POST", body })).json();
  answer.textContent = output + error;
};
</script>"#;
// ANCHOR_END: page

// ANCHOR: evaluate
/// Runs `code` with all the rights of the user who started this server, for at most 30 seconds.
async fn evaluate(code: &str) -> std::io::Result<Value> {
    // The first python3 on PATH may be a version manager's shim, six times slower to start than Python.
    let real = Path::new("/usr/bin/python3");
    let python = if real.exists() { real } else { Path::new("python3") };
    let mut child = Command::new(python)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true) // kills Python, but no process that Python has started
        .spawn()?;
    let stdin = child.stdin.take().ok_or_else(|| std::io::Error::other("no stdin"));
    stdin?.write_all(code.as_bytes()).await?; // and closes it: Python runs what it has read
    let Ok(done) = timeout(Duration::from_secs(30), child.wait_with_output()).await else {
        return Ok(json!({"output": "", "error": "timed out after 30 seconds"}));
    };
    let done = done?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(json!({"output": text(&done.stdout), "error": text(&done.stderr)}))
}
// ANCHOR_END: evaluate

fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status).header("content-type", content_type);
    builder.body(Full::new(body.into())).unwrap_or_default()
}

// ANCHOR: handle
type HandlerResult = Result<Response<Full<Bytes>>, hyper::Error>;

async fn handle(request: Request<Incoming>, one_at_a_time: Arc<Mutex<()>>) -> HandlerResult {
    let json = |status, body: Value| Ok(respond(status, "application/json", body.to_string()));
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => return Ok(respond(200, "text/html; charset=utf-8", PAGE)),
        (&Method::POST, "/eval") => {}
        _ => return json(404, json!({"output": "", "error": "there is GET / and POST /eval"})),
    }
    let body = request.into_body().collect().await?.to_bytes(); // all of it, of any size
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(code) = parsed["code"].as_str() else {
        return json(400, json!({"output": "", "error": r#"send {"code": "..."}"#}));
    };
    let _guard = one_at_a_time.lock().await; // a later request waits here for the earlier ones
    match evaluate(code).await {
        Ok(result) => json(200, result),
        Err(error) => json(500, json!({"output": "", "error": format!("python3: {error}")})),
    }
}
// ANCHOR_END: handle

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = match &arguments[..] {
        [] => "127.0.0.1:8001".parse()?,
        [flag, at] if flag == "--listen" => at.parse().map_err(|e| format!("{at}: {e}"))?,
        _ => return Err("usage: stage-01-extreme-mvp [--listen 127.0.0.1:PORT]".into()),
    };
    if !address.ip().is_loopback() {
        return Err("use a 127.0.0.1 address: others must not run programs on this machine".into());
    }
    let listener = TcpListener::bind(address).await.map_err(|e| format!("{address}: {e}"))?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    eprintln!("This runs ANY program ANYBODY sends it, on this machine, with all your rights.");
    eprintln!("try: curl -d '{{\"code\": \"print(6 * 7)\"}}' http://{address}/eval");
    let one_at_a_time = Arc::new(Mutex::new(()));
    loop {
        let socket = TokioIo::new(listener.accept().await?.0);
        let lock = Arc::clone(&one_at_a_time);
        let service = service_fn(move |request| handle(request, Arc::clone(&lock)));
        tokio::spawn(http1::Builder::new().serve_connection(socket, service));
    }
}
