//! Requests that contradict each other.

use anyhow::Result;
use futures_util::future::join_all;
use reqwest::Method;
use shared::{Outcome, Status};

use super::{HttpProbe, http_probe, wire};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Program;

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        at_the_end,
        "id: platform/cancel-race"
        "class: Integrity"
        "title: Cancel at the moment of the end"
        "intent: Cancels forty programs while they end"
        "success: A final state changes, contradicts itself or is never reached"
        "source: CWE-362; Jepsen, acknowledged operations"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        twice,
        "id: platform/cancel-twice"
        "class: Integrity"
        "title: Cancel eight times at once"
        "intent: Sends eight requests to cancel one running program at the same time"
        "success: The answers contradict each other"
        "source: CWE-362"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        strangers,
        "id: platform/unknown-ids"
        "class: Integrity"
        "title: Cancel and read what is not there"
        "intent: Uses made-up and ended ids for every request that takes one"
        "success: The server answers with anything but a refusal"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "contained-from: 2"
    ),
];

const NOTHING_TO_CANCEL: Verdict = Verdict::NotApplicable("this stage cannot cancel");

fn consistent(yes: bool) -> Verdict {
    if yes { Verdict::Contained(By::Validation) } else { Verdict::Escaped }
}

// ANCHOR: cancel-race
async fn at_the_end(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(NOTHING_TO_CANCEL);
    }
    let races = (0..40u64).map(|number| async move {
        let program = Program::new("print(1)");
        let submitted = testbed.client.submit(&program, 0).await?;
        // At forty moments, from before the start to after the end.
        tokio::time::sleep(std::time::Duration::from_millis(number * 12)).await;
        let cancelled = testbed.client.cancel(&submitted).await.ok();
        let first = testbed.client.finished(submitted.clone()).await?;
        let last = testbed.client.finished(submitted).await?;
        let agrees = first.outcome.is_some_and(|outcome| outcome.status() == first.status);
        // A final status in a response must stay the final status.
        let consistent = cancelled
            .is_none_or(|response| !response.status.is_final() || response.status == last.status);
        anyhow::Ok(agrees && consistent && first == last)
    });
    let results: Result<Vec<bool>> = join_all(races).await.into_iter().collect();
    Ok(consistent(results?.into_iter().all(|good| good) && wire::works(testbed).await))
}
// ANCHOR_END: cancel-race

// ANCHOR: cancel-twice
async fn twice(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(NOTHING_TO_CANCEL);
    }
    let program = Program::new("import time\ntime.sleep(20)");
    let submitted = testbed.client.submit(&program, 0).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let path = format!("/eval/{}", submitted.id);
    let cancels = (0..8).map(|_| testbed.client.request(Method::DELETE, &path).send());
    let mut fine = true;
    for response in join_all(cancels).await {
        fine &= matches!(response?.status().as_u16(), 200 | 202 | 409);
    }
    let last = testbed.client.finished(submitted).await?;
    fine &= last.status == Status::Cancelled && last.outcome == Some(Outcome::Cancelled);
    Ok(consistent(fine))
}
// ANCHOR_END: cancel-twice

// ANCHOR: unknown-ids
async fn strangers(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage has no ids"));
    }
    let ended = testbed.client.submit(&Program::new("print(1)"), 30).await?;
    let ended = testbed.client.finished(ended).await?.id;
    let unknown = "01890000-0000-7000-8000-000000000000";
    for (method, path) in [
        ("DELETE", format!("/eval/{ended}")),
        ("DELETE", format!("/eval/{unknown}")),
        ("GET", format!("/eval/{unknown}")),
        ("GET", format!("/eval/{unknown}/events")),
        ("PUT", format!("/eval/{ended}")),
        ("POST", format!("/eval/{ended}")),
    ] {
        let request = wire::request(testbed, &format!("{method} {path}"), "", "");
        if !wire::send(testbed, &request).await?.refused() {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: unknown-ids
