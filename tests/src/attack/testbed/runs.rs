//! Runs of probes on a testbed: to their end, or until they have reported.

use std::time::Duration;

use anyhow::Result;
use reqwest::{Method, StatusCode};
use shared::{Evaluation, Status};

use super::Testbed;
use crate::attack::probe::Language;
use crate::attack::probe::program::{Assembled, Values, assemble};
use crate::attack::probe::report::Run;
use crate::support::client::{Answer, Client, Program};

/// The memory of a probe in an environment, whose own default may be more than what a probe tries to exceed.
const PROBE_MEMORY_BYTES: u64 = 256 << 20;

/// A probe that a worker is running.
#[derive(Debug)]
pub struct Started {
    evaluation: Evaluation,
    marker: String,
}

impl Testbed {
    /// Submits a probe with these constants, and waits for its end.
    ///
    /// # Errors
    ///
    /// When the server fails.
    pub async fn run(&self, code: &str, values: &Values, seconds: u16) -> Result<Run> {
        let assembled = assemble(self.language(), code, values);
        let memory_bytes = self.environment.as_ref().map(|_| PROBE_MEMORY_BYTES);
        run_with(self.programs(), assembled, seconds, memory_bytes).await
    }

    /// The same in the default environment, for a program in Python.
    pub(in crate::attack) async fn run_by_default(
        &self,
        code: &str,
        values: &Values,
        seconds: u16,
    ) -> Result<Run> {
        if self.runs_in_kept_sandboxes {
            return self.run(code, values, seconds).await;
        }
        run_with(&self.client, assemble(Language::Python, code, values), seconds, None).await
    }

    /// Submits a probe, and waits until a worker runs it.
    ///
    /// # Errors
    ///
    /// When the server fails, or is stage 1, which has no status before the end.
    pub async fn begin(&self, code: &str, values: &Values, seconds: u16) -> Result<Started> {
        let assembled = assemble(self.language(), code, values);
        let mut program = Program::new(assembled.code);
        program.timeout_seconds = Some(f64::from(seconds));
        let mut evaluation = self.programs().submit(&program, 0).await?;
        while evaluation.status == Status::Queued {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let path = format!("/eval/{}", evaluation.id);
            let response = self.client.request(Method::GET, &path).send().await?;
            evaluation = response.error_for_status()?.json().await?;
        }
        Ok(Started { evaluation, marker: assembled.marker })
    }

    /// Waits until the probe has reported, or has ended without that.
    ///
    /// # Errors
    ///
    /// When the server fails.
    pub async fn until_it_reports(&self, started: &mut Started) -> Result<()> {
        let path = format!("/eval/{}", started.evaluation.id);
        loop {
            let answer = Answer::Evaluation(Box::new(started.evaluation.clone()));
            let reported = Run::new(answer, &started.marker).account.is_some();
            if reported || started.evaluation.status.is_final() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let response = self.client.request(Method::GET, &path).send().await?;
            started.evaluation = response.error_for_status()?.json().await?;
        }
    }

    /// Ends the probe, and returns whether it was still running.
    ///
    /// # Errors
    ///
    /// When the server fails.
    pub async fn end_now(&self, started: Started) -> Result<(Run, bool)> {
        let Started { evaluation, marker } = started;
        let path = format!("/eval/{}", evaluation.id);
        // Only one that has not ended can be cancelled: another one is a conflict.
        let response = self.client.request(Method::DELETE, &path).send().await?;
        let was_running = response.status().is_success();
        if !was_running && response.status() != StatusCode::CONFLICT {
            response.error_for_status()?;
        }
        let evaluation = self.client.finished(evaluation).await?;
        Ok((Run::new(Answer::Evaluation(Box::new(evaluation)), &marker), was_running))
    }
}

async fn run_with(
    client: &Client,
    assembled: Assembled,
    seconds: u16,
    memory_bytes: Option<u64>,
) -> Result<Run> {
    let mut program = Program::new(assembled.code);
    program.memory_bytes = memory_bytes;
    program.timeout_seconds = Some(f64::from(seconds));
    let answer = client.evaluate(&program).await?;
    Ok(Run::new(answer, &assembled.marker))
}
