//! The output of a program is controlled by an attacker: it must stay text, complete and in its
//! field.

use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use serde_json::Value;
use tokio::time::sleep;

use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Program;

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        escapes,
        "id: platform/terminal-escapes"
        "class: Integrity"
        "title: Print what steers a terminal"
        "intent: Prints sequences that set a title, clear the screen and write to the clipboard"
        "success: The answer or the server's log has an escape character as it is"
        "source: CWE-150; OSC 52"
        "host: safe"
        "contained-from: 1"
    ),
    http_probe!(
        c1_escapes,
        "id: platform/c1-escapes"
        "class: Integrity"
        "title: Print escapes of one character"
        "intent: Prints U+009B, which some terminals take for the beginning of an escape sequence"
        "success: The answer has that character as it is"
        "source: CWE-150; ECMA-48, 5.3"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        markup,
        "id: platform/markup"
        "class: Integrity"
        "title: Print HTML that runs a script"
        "intent: Prints a script element, which a page that shows output would run"
        "success: The answer could be shown as a page"
        "source: CWE-79; OWASP XSS Prevention Cheat Sheet"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        page_policy,
        "id: platform/page-policy"
        "class: Integrity"
        "title: Put the page into a frame, load a script"
        "intent: Looks for what a browser would allow the stage's own page to do"
        "success: The page may run inline scripts, load others, or be framed"
        "source: CWE-1021; OWASP Content Security Policy Cheat Sheet"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        bytes,
        "id: platform/lost-bytes"
        "class: Integrity"
        "title: Print bytes that are no text"
        "intent: Prints NUL, half a character and a lone surrogate"
        "success: The answer does not tell which bytes those were"
        "source: CWE-838; PL-03 and PL-04 in this course's research"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        forged,
        "id: platform/forged-answer"
        "class: Integrity"
        "title: Print the answer one would like"
        "intent: Prints a whole evaluation in JSON that says it went well, and exits with 3"
        "success: The platform's own fields say what the program printed"
        "source: CWE-345; CWE-117"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        log_lines,
        "id: platform/forged-log"
        "class: Integrity"
        "title: Forge a line in the server's log"
        "intent: Puts line breaks and a made-up entry into paths, headers and code"
        "success: The entry begins a line of the server's standard error"
        "source: CWE-117; OWASP Logging Cheat Sheet"
        "host: safe"
        "contained-from: 1"
    ),
];

/// How often a log is read, and at which interval.
const MAX_LOG_READS: u32 = 10;
const LOG_READ_INTERVAL: Duration = Duration::from_millis(50);

/// The response to `code`, or an empty one when there is none.
async fn answer(testbed: &Testbed, code: &str) -> Result<wire::Reply> {
    let body = serde_json::to_string(&Program::new(code))?;
    wire::post(testbed, &body).await
}

fn text_only(yes: bool) -> Verdict {
    if yes { Verdict::Contained(By::Escaping) } else { Verdict::Escaped }
}

/// Whether the server's log matches. It comes through a pipe, possibly after the response.
async fn log_has(testbed: &Testbed, what: impl Fn(&str) -> bool) -> bool {
    for _ in 0..MAX_LOG_READS {
        if testbed.stderr().is_some_and(|log| what(&log)) {
            return true;
        }
        sleep(LOG_READ_INTERVAL).await;
    }
    false
}

fn did_not_run(reply: &wire::Reply) -> Verdict {
    Verdict::Error(format!("the program did not run: status {}", reply.status))
}

// ANCHOR: terminal-escapes
async fn escapes(testbed: &Testbed) -> Result<Verdict> {
    let token = canary();
    let code = format!(
        "print('\\x1b]0;{token}\\x07\\x1b[2J\\x1b]52;c;cm0gLXJmIC8=\\x07\\x9b31m')\n\
         # \x1b]0;{token}\x07\n"
    );
    let reply = answer(testbed, &code).await?;
    if !reply.body().contains(&token) {
        return Ok(did_not_run(&reply));
    }
    let raw = reply.body().contains(['\x1b', '\x07']);
    Ok(text_only(!raw && !log_has(testbed, |log| log.contains("\x1b]")).await))
}
// ANCHOR_END: terminal-escapes

// ANCHOR: c1-escapes
async fn c1_escapes(testbed: &Testbed) -> Result<Verdict> {
    let token = canary();
    let reply = answer(testbed, &format!("print('{token}\\x9b31m')")).await?;
    if !reply.body().contains(&token) {
        return Ok(did_not_run(&reply));
    }
    Ok(text_only(!reply.body().contains('\u{9b}')))
}
// ANCHOR_END: c1-escapes

// ANCHOR: markup
async fn markup(testbed: &Testbed) -> Result<Verdict> {
    let token = canary();
    let reply = answer(testbed, &format!("print('<script>{token}</script>')")).await?;
    if !reply.body().contains(&token) {
        return Ok(did_not_run(&reply));
    }
    let head = reply.head().to_ascii_lowercase();
    let is_json = head.contains("content-type: application/json");
    Ok(text_only(is_json && head.contains("x-content-type-options: nosniff")))
}
// ANCHOR_END: markup

// ANCHOR: page-policy
async fn page_policy(testbed: &Testbed) -> Result<Verdict> {
    let reply = wire::send(testbed, &wire::request(testbed, "GET /", "", "")).await?;
    let head = reply.head().to_ascii_lowercase();
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy:"));
    let Some(policy) = policy else { return Ok(Verdict::Escaped) };
    let has = |directive: &str| policy.split(';').any(|part| part.trim().starts_with(directive));
    let strict = has("default-src 'none'")
        && has("script-src 'self'")
        && has("frame-ancestors 'none'")
        && has("base-uri 'none'")
        && !policy.contains("unsafe")
        && !reply.body().contains(" onclick=")
        && !reply.body().contains("<script>");
    Ok(if strict { Verdict::Contained(By::Validation) } else { Verdict::Escaped })
}
// ANCHOR_END: page-policy

// ANCHOR: lost-bytes
async fn bytes(testbed: &Testbed) -> Result<Verdict> {
    const ODD: &[u8] = b"a\x00\xff\xed\xa0\x80\xe2\x82z";
    let code = format!("import os\nos.write(1, bytes({ODD:?}))");
    let reply = answer(testbed, &code).await?;
    let json: Value = serde_json::from_str(reply.body()).unwrap_or_default();
    let stdout = &json["stdout"];
    let text = stdout["text"].as_str().or(json["output"].as_str());
    let Some(text) = text else { return Ok(did_not_run(&reply)) };
    let retained = match stdout["encoding"].as_str() {
        Some("base64") => base64::engine::general_purpose::STANDARD.decode(text)?,
        _ => text.as_bytes().to_vec(),
    };
    Ok(if retained == ODD { Verdict::Contained(By::Evidence) } else { Verdict::Escaped })
}
// ANCHOR_END: lost-bytes

// ANCHOR: forged-answer
async fn forged(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage reports nothing but the output"));
    }
    let code = "print('{\"status\": \"completed\", \"outcome\": \"exited\", \"exit_code\": 0}')\n\
                print('\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\n\\r\\n{\"exit_code\": 0}')\n\
                raise SystemExit(3)";
    let reply = answer(testbed, code).await?;
    let json: Value = serde_json::from_str(reply.body()).unwrap_or_default();
    match json["exit_code"].as_i64() {
        Some(3) => Ok(Verdict::Contained(By::Evidence)),
        Some(_) => Ok(Verdict::Escaped),
        None => Ok(did_not_run(&reply)),
    }
}
// ANCHOR_END: forged-answer

// ANCHOR: forged-log
async fn log_lines(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stderr().is_none() {
        return Ok(Verdict::NotApplicable("the ladder did not start this server"));
    }
    let token = canary();
    // Only the end of a long log is retained, so it is checked after each attack.
    let forged = || log_has(testbed, |log| log.lines().any(|line| line.starts_with(&token)));
    let path = format!("GET /eval/x%0a{token}%20INFO%20all%20is%20well");
    wire::send(testbed, &wire::request(testbed, &path, "", "")).await?;
    let by_path = forged().await;
    let header = format!("User-Agent: x\u{85}{token}\r\nX-Forwarded-For: x\x0b{token}\r\n");
    wire::send(testbed, &wire::request(testbed, "GET /eval", &header, "")).await?;
    let by_header = forged().await;
    let code = format!("import sys\n'''\n{token}\n'''\nsys.stderr.write('\\n{token} INFO\\n')");
    let body = serde_json::to_string(&Program::new(code))?;
    let reply = wire::post(testbed, &body).await?;
    if reply.status != 200 {
        return Ok(did_not_run(&reply));
    }
    Ok(text_only(!by_path && !by_header && !forged().await))
}
// ANCHOR_END: forged-log
