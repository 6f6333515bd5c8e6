//! Origin and Host of a request: browsers that another site's page makes send requests.

use anyhow::Result;

use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        rebinding,
        "id: platform/dns-rebinding"
        "class: Escape"
        "title: Call the server by a stranger's name"
        "intent: Sends a request whose Host is a name that anybody could point at 127.0.0.1"
        "success: The server runs the program"
        "source: CWE-350; DNS rebinding"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        other_page,
        "id: platform/cross-site-post"
        "class: Escape"
        "title: Submit from a stranger's page"
        "intent: Sends what a form on another site can send without asking: plain text"
        "success: The server runs the program"
        "source: CWE-352; OWASP CSRF Prevention Cheat Sheet"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        header_injection,
        "id: platform/header-injection"
        "class: Integrity"
        "title: Put a header into the answer"
        "intent: Puts line breaks into ids, queries and labels"
        "success: The answer has a header that the client has made up"
        "source: CWE-113"
        "host: safe"
        "contained-from: 1"
    ),
];

/// Whether the server ran a program that prints `token` for a request with this host and headers.
async fn runs(testbed: &Testbed, token: &str, host: &str, headers: &str) -> Result<bool> {
    let json = format!(r#"{{"code": "print('{token}'[::-1])"}}"#);
    let request = format!(
        "POST /eval HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nPrefer: wait=20\r\n\
         {}{headers}Content-Length: {}\r\n\r\n{json}",
        testbed.authorization(),
        json.len()
    );
    let reversed: String = token.chars().rev().collect();
    let reply = wire::send(testbed, request.as_bytes()).await?;
    Ok(reply.text.contains(&reversed) || matches!(reply.status, 200 | 202))
}

fn refused(ran: bool) -> Verdict {
    if ran { Verdict::Escaped } else { Verdict::Contained(By::Validation) }
}

// ANCHOR: dns-rebinding
async fn rebinding(testbed: &Testbed) -> Result<Verdict> {
    let json = "Content-Type: application/json\r\n";
    let mut ran = false;
    for host in
        ["attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example:8005"]
    {
        ran |= runs(testbed, &canary(), host, json).await?;
    }
    Ok(refused(ran))
}
// ANCHOR_END: dns-rebinding

// ANCHOR: cross-site-post
async fn other_page(testbed: &Testbed) -> Result<Verdict> {
    let host = testbed.client_address.to_string();
    let mut ran = false;
    for headers in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "",
        "Content-Type: application/json\r\nOrigin: http://attacker.example\r\n",
        "Content-Type: application/json\r\nOrigin: null\r\n",
    ] {
        ran |= runs(testbed, &canary(), &host, headers).await?;
    }
    Ok(refused(ran))
}
// ANCHOR_END: cross-site-post

// ANCHOR: header-injection
async fn header_injection(testbed: &Testbed) -> Result<Verdict> {
    let name = format!("x-{}", canary());
    let json = "Content-Type: application/json\r\n";
    let label = format!(r#"{{"code": "print(1)", "labels": {{"a": "b\r\n{name}: 1"}}}}"#);
    for request in [
        wire::request(testbed, &format!("GET /eval/x%0d%0a{name}:%201"), "", ""),
        wire::request(testbed, &format!("GET /eval?cursor=x%0d%0a{name}:%201"), "", ""),
        wire::request(testbed, &format!("GET /%0d%0a{name}:%201%0d%0a"), "", ""),
        wire::request(testbed, "POST /eval", json, &label),
        wire::request(testbed, "GET /", &format!("Origin: http://x\x0b{name}: 1\r\n"), ""),
    ] {
        let reply = wire::send(testbed, &request).await?;
        let injected = format!("{name}:");
        if reply.head().lines().skip(1).any(|line| line.trim_start().starts_with(&injected)) {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: header-injection
