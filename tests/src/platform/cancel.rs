//! Requests that contradict each other.

use anyhow::Result;
use futures_util::future::join_all;
use reqwest::Method;
use shared::{Outcome, Status};

use super::{Listed, listed, wire};
use crate::client::Program;
use crate::range::Range;
use crate::verdict::{By, Verdict};

pub(super) const LIST: &[Listed] = &[
    listed!(
        at_the_end,
        "id: platform/cancel-race"
        "class: Integrity"
        "title: Cancel at the moment of the end"
        "intent: Cancels forty programs while they end"
        "success: A final state changes, contradicts itself or is never reached"
        "source: CWE-362; Jepsen, acknowledged operations"
        "host: safe"
        "promised: 2"
    ),
    listed!(
        twice,
        "id: platform/cancel-twice"
        "class: Integrity"
        "title: Cancel eight times at once"
        "intent: Sends eight requests to cancel one running program at the same time"
        "success: The answers contradict each other"
        "source: CWE-362"
        "host: safe"
        "promised: 2"
    ),
    listed!(
        strangers,
        "id: platform/unknown-ids"
        "class: Integrity"
        "title: Cancel and read what is not there"
        "intent: Uses made-up and ended ids for every request that takes one"
        "success: The server answers with anything but a refusal"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "promised: 2"
    ),
];

const NOTHING_TO_CANCEL: Verdict = Verdict::NotApplicable("this stage has nothing to cancel");

fn consistent(yes: bool) -> Verdict {
    if yes { Verdict::Contained(By::Validation) } else { Verdict::Escaped }
}

async fn at_the_end(range: &Range) -> Result<Verdict> {
    if range.stage == 1 {
        return Ok(NOTHING_TO_CANCEL);
    }
    let races = (0..40u64).map(|number| async move {
        let program = Program::new("print(1)");
        let submitted = range.client.submit(&program, 0).await?;
        // From before it starts to after it has ended.
        tokio::time::sleep(std::time::Duration::from_millis(number * 12)).await;
        let cancelled = range.client.cancel(&submitted).await.ok();
        let first = range.client.finished(submitted.clone()).await?;
        let last = range.client.finished(submitted).await?;
        let agrees = first.outcome.is_some_and(|outcome| outcome.status() == first.status);
        // Whoever was told that it is over was told the truth.
        let kept =
            cancelled.is_none_or(|told| !told.status.is_final() || told.status == last.status);
        anyhow::Ok(agrees && kept && first == last)
    });
    let results: Result<Vec<bool>> = join_all(races).await.into_iter().collect();
    Ok(consistent(results?.into_iter().all(|good| good) && wire::works(range).await))
}

async fn twice(range: &Range) -> Result<Verdict> {
    if range.stage == 1 {
        return Ok(NOTHING_TO_CANCEL);
    }
    let program = Program::new("import time\ntime.sleep(20)");
    let submitted = range.client.submit(&program, 0).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let path = format!("/eval/{}", submitted.id);
    let cancels = (0..8).map(|_| range.client.request(Method::DELETE, &path).send());
    let mut fine = true;
    for response in join_all(cancels).await {
        fine &= matches!(response?.status().as_u16(), 200 | 202 | 409);
    }
    let last = range.client.finished(submitted).await?;
    fine &= last.status == Status::Cancelled && last.outcome == Some(Outcome::Cancelled);
    Ok(consistent(fine))
}

async fn strangers(range: &Range) -> Result<Verdict> {
    if range.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage has no ids"));
    }
    let ended = range.client.submit(&Program::new("print(1)"), 30).await?;
    let ended = range.client.finished(ended).await?.id;
    let unknown = "01890000-0000-7000-8000-000000000000";
    for (method, path) in [
        ("DELETE", format!("/eval/{ended}")),
        ("DELETE", format!("/eval/{unknown}")),
        ("GET", format!("/eval/{unknown}")),
        ("GET", format!("/eval/{unknown}/events")),
        ("PUT", format!("/eval/{ended}")),
        ("POST", format!("/eval/{ended}")),
    ] {
        let request = wire::request(range, &format!("{method} {path}"), "", "");
        if !wire::send(range, &request).await?.refused() {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
