//! Reports from inside, as a state machine: before the program, while it runs, and after it.
//!
//! The rule it keeps: each report is legal in one state, on one stream, once. Attack: a program finds
//! the nonce and reports that it starts, again and again, so that its clock and its counters start
//! again -> a line that is not legal in this state was written by the program, so it is the program's
//! output and nothing else. Tests: `every_forged_report_is_output`, and with the real nonce in a real
//! container `a_program_that_has_the_nonce_gains_an_exit_code_alone`.

use shared::Stream;

use crate::init_message::InitMessage;

/// What a line with the nonce means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program starts now.
    Started,
    /// The program has ended, and its output is complete; or it will never start, and why.
    Ended(InitMessage),
    /// This stream is complete, and the other one is not.
    StreamComplete,
    /// The line is not init's: the program wrote it.
    Output,
}

/// How far a sandbox is, by the reports of its init.
#[derive(Debug, Default)]
pub(crate) struct ReportState {
    started: bool,
    /// How the program ended, once standard error is complete.
    exit: Option<InitMessage>,
    stdout_complete: bool,
}

// ANCHOR: accept
impl ReportState {
    /// Takes a line with the nonce.
    pub(crate) fn accept(&mut self, stream: Stream, message: InitMessage) -> Report {
        use InitMessage::{End, Exited, Malformed, Refused, Signaled, Started};
        match (self.started, stream, message) {
            // Before the program starts, only init can write.
            (false, Stream::Stderr, Started) => {
                self.started = true;
                return Report::Started;
            }
            (false, Stream::Stderr, message @ Refused(_)) => return Report::Ended(message),
            (false, Stream::Stderr, message) => {
                return Report::Ended(Malformed(message.to_string()));
            }
            // Then the program can write too.
            (true, Stream::Stderr, message @ (Exited(_) | Signaled(_))) if self.exit.is_none() => {
                self.exit = Some(message);
            }
            // Docker does not keep the order between the streams: what comes on standard output may
            // have been written after the start that has not been read yet.
            (_, Stream::Stdout, End) if !self.stdout_complete => self.stdout_complete = true,
            _ => return Report::Output,
        }
        // The program has ended, and its output is complete, when both streams are.
        match &self.exit {
            Some(exit) if self.stdout_complete => Report::Ended(exit.clone()),
            _ => Report::StreamComplete,
        }
    }

    /// Whether the program has started.
    pub(crate) fn has_started(&self) -> bool {
        self.started
    }

    /// Whether nothing of the program comes on `stream` any more: init has ended it before its last
    /// report.
    pub(crate) fn is_complete(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout_complete,
            Stream::Stderr => self.exit.is_some(),
        }
    }
}
// ANCHOR_END: accept

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    fn messages() -> Vec<InitMessage> {
        let refused = InitMessage::Refused("[Errno 28] \x1b[31m".to_owned());
        let malformed = InitMessage::Malformed("nonsense".to_owned());
        let (exited, signaled) = (InitMessage::Exited(0), InitMessage::Signaled(9));
        vec![InitMessage::Started, exited, signaled, InitMessage::End, refused, malformed]
    }

    fn running() -> ReportState {
        ReportState { started: true, ..ReportState::default() }
    }

    #[test]
    fn every_report_is_legal_in_one_state_once() {
        let mut state = ReportState::default();
        assert_eq!(state.accept(Stream::Stderr, InitMessage::Started), Report::Started);
        let exited = InitMessage::Exited(3);
        assert_eq!(state.accept(Stream::Stderr, exited.clone()), Report::StreamComplete);
        assert_eq!(state.accept(Stream::Stderr, InitMessage::Exited(0)), Report::Output);
        assert_eq!(state.accept(Stream::Stdout, InitMessage::End), Report::Ended(exited));
        assert_eq!(state.accept(Stream::Stdout, InitMessage::End), Report::Output);
    }

    /// While the program runs, and after one of its streams or both are complete.
    #[test]
    fn every_forged_report_is_output() {
        let exit = Some(InitMessage::Exited(0));
        let states = [(None, false), (exit.clone(), false), (None, true), (exit, true)];
        for (exit, stdout_complete) in states {
            for stream in STREAMS {
                for message in messages() {
                    let mut state =
                        ReportState { exit: exit.clone(), stdout_complete, ..running() };
                    let ends = match (&message, stream) {
                        (InitMessage::Exited(_) | InitMessage::Signaled(_), Stream::Stderr) => {
                            exit.is_none()
                        }
                        (InitMessage::End, Stream::Stdout) => !stdout_complete,
                        _ => false,
                    };
                    let report = state.accept(stream, message.clone());
                    let is_output = report == Report::Output;
                    assert_eq!(is_output, !ends, "{exit:?} {stdout_complete} {message:?}");
                    // Not one of them starts the program again, or is an error of the platform.
                    let is_error = matches!(
                        report,
                        Report::Started
                            | Report::Ended(InitMessage::Refused(_) | InitMessage::Malformed(_))
                    );
                    assert!(!is_error, "{message:?}: {report:?}");
                }
            }
        }
    }

    /// On standard error the program has not written then, so that none of these is forged. What it
    /// has written to standard output may come early.
    #[test]
    fn before_the_program_only_a_start_or_its_refusal_is_legal() {
        for stream in STREAMS {
            for message in messages() {
                let report = ReportState::default().accept(stream, message.clone());
                let expected = match (message, stream) {
                    (InitMessage::End, Stream::Stdout) => Report::StreamComplete,
                    (_, Stream::Stdout) => Report::Output,
                    (InitMessage::Started, _) => Report::Started,
                    (message @ InitMessage::Refused(_), _) => Report::Ended(message),
                    (message, _) => Report::Ended(InitMessage::Malformed(message.to_string())),
                };
                assert_eq!(report, expected);
            }
        }
    }
}
