//! The programs of a soak: one for each way to end that leaves something to clean up.

use anyhow::{Result, bail};
use shared::Outcome;

use crate::support::client::{Client, Program};

/// One kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Prints, and exits with 0.
    Prints,
    /// Exits with another code.
    Exits,
    /// Exits, but leaves a child behind that sleeps for ten minutes with its output open.
    LeavesChild,
    /// Runs for a minute, and is cancelled before.
    IsCancelled,
}

impl WorkloadKind {
    /// The kind of the program number `index`: mostly short ones, with one of each other kind in
    /// ten.
    pub fn at(index: usize) -> Self {
        match index % 10 {
            3 => Self::Exits,
            6 => Self::LeavesChild,
            9 => Self::IsCancelled,
            _ => Self::Prints,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Prints => "print(1)",
            Self::Exits => "raise SystemExit(3)",
            Self::LeavesChild => {
                "import os, time\nif os.fork() == 0:\n    time.sleep(600)\nprint(1)"
            }
            Self::IsCancelled => "import time\ntime.sleep(60)",
        }
    }

    /// Runs one such program, on a stage that has evaluations (2 and later).
    ///
    /// # Errors
    ///
    /// When it ends in another way than it should.
    pub async fn run(self, client: &Client) -> Result<()> {
        let program = Program::new(self.code());
        let wait = if self == Self::IsCancelled { 0 } else { 60 };
        let mut evaluation = client.submit(&program, wait).await?;
        if self == Self::IsCancelled {
            evaluation = client.cancel(&evaluation).await?;
        }
        let evaluation = client.finished(evaluation).await?;
        let wanted = match self {
            Self::Prints | Self::LeavesChild => (Some(Outcome::Exited), Some(0), "1\n"),
            Self::Exits => (Some(Outcome::Exited), Some(3), ""),
            Self::IsCancelled => (Some(Outcome::Cancelled), None, ""),
        };
        let got = (evaluation.outcome, evaluation.exit_code, evaluation.stdout.text.as_str());
        if got != wanted {
            bail!("a program that {self:?} ended as {got:?}, not {wanted:?}: {evaluation:?}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_in_ten() {
        let ten: Vec<_> = (0..10).map(WorkloadKind::at).collect();
        for kind in [
            WorkloadKind::Prints,
            WorkloadKind::Exits,
            WorkloadKind::LeavesChild,
            WorkloadKind::IsCancelled,
        ] {
            assert!(ten.contains(&kind), "{kind:?}");
        }
    }
}
