//! Replaces the parts of a command's output that differ from run to run.
//!
//! A transcript shows the output of one real run, ids and times included. Two runs are equal when they
//! are equal after [`settled`] has replaced each such part by a placeholder. A transcript proves nothing
//! about the parts that are replaced, so the rules are few.

use std::sync::LazyLock;

use lazy_regex::{Regex, regex};

/// Pattern and placeholder. `$1` retains the text before the value.
static RULES: LazyLock<Vec<(&'static Regex, &'static str)>> = LazyLock::new(|| {
    vec![
        // Digests first: the other patterns would match parts of their digits.
        (regex!(r"sha256:[0-9a-f]{64}"), "<digest>"),
        (regex!(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
        (regex!(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
        // A date in a header, in HTTP's format.
        (regex!(r"(?m)^(date: ).*$"), "${1}<time>"),
        (regex!(r#"("\w+_ms": ?)\d+"#), "${1}<n>"),
        (regex!(r#"("\w+\.\w+_us": ?)\d+"#), "${1}<n>"),
        (regex!(r#"("memory\.used_bytes": ?)\d+"#), "${1}<n>"),
        // A host user of the range that sandboxes share: which one it is depends on those that run.
        (regex!(r"\b19000\d{5}\b"), "<user>"),
        // Older kernels do not count these at all.
        (regex!(r#"\s*"(?:memory\.peak_bytes|memory_peak_bytes)": ?\d+,"#), ""),
        (regex!(r#",\s*"(?:pids\.peak|pids_peak)": ?\d+"#), ""),
        (regex!(r"\b\d+ ms\b"), "<n> ms"),
        (regex!(r"\b(pid )\d+\b"), "${1}<n>"),
        (regex!(r"\bprocess \d+\b"), "process <n>"),
        (regex!(r"\bLinux version [^\n]*"), "Linux version <version>"),
        // A key of stage 09, and a hash of its audit log.
        (regex!(r"\bcrk_[0-9A-Za-z]{33}\b"), "<key>"),
        (regex!(r"\b(head )?(\d+):[0-9a-f]{64}\b"), "${1}${2}:<hash>"),
        (regex!(r#"(ratelimit: "requests";r=\d+;t=)\d+"#), "${1}<n>"),
        // The versions of Docker and gVisor in the output of `doctor`.
        (regex!(r"(?m)^(ok +(?:docker|runsc|platform)): .*$"), "${1}: <version>"),
        (regex!(r"\b(Docker knows ).*"), "${1}<runtimes>"),
        (regex!(r"is \S+/runsc's sandbox"), "is <path>/runsc's sandbox"),
        (regex!(r"\bcontrol groups v[12]"), "control groups v<n>"),
        (regex!(r"\babout \d+ bytes"), "about <n> bytes"),
        // The sequence number of an event, which starts with the time at which the server started.
        (regex!(r"(?m)^(id: )\d+$"), "${1}<n>"),
        (regex!(r#"("id":")\d{10,}""#), "${1}<n>\""),
        (regex!(r#"("runtime_version": ?)"[^"]*""#), "${1}<version>"),
    ]
});

/// `text` with placeholders for the parts that differ from run to run.
pub fn settled(text: &str) -> String {
    RULES.iter().fold(text.to_owned(), |text, (pattern, mark)| {
        pattern.replace_all(&text, *mark).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced() {
        for (one, other) in [
            ("0198c1e0-7a52-7cc1-8a3e-0123456789ab", "0198c1e0-7a52-7cc1-8a3e-ba9876543210"),
            ("2026-11-22T10:00:00Z", "2026-11-23T11:30:01.123456Z"),
            (r#"{"wall_ms":12,"cpu_ms": 3}"#, r#"{"wall_ms":9,"cpu_ms": 41}"#),
            ("[exited 0, in 41 ms]", "[exited 0, in 1042 ms]"),
            ("id: 1795345213046536\n", "id: 1795345299999999\n"),
            (r#"{"a": 1, "pids.peak": 7}"#, r#"{"a": 1}"#),
            ("left pid 41 behind", "left pid 31337 behind"),
            ("date: Sun, 22 Nov 2026 10:00:00 GMT\n", "date: Mon, 23 Nov 2026 11:00:00 GMT\n"),
        ] {
            assert_eq!(settled(one), settled(other));
        }
    }

    #[test]
    fn what_matters_is_retained() {
        for (one, other) in [
            (r#"{"exit_code":0}"#, r#"{"exit_code":1}"#),
            (r#""outcome":"exited""#, r#""outcome":"signaled""#),
            ("retry-after: 1", "retry-after: 2"),
            (r#""bytes_total":10"#, r#""bytes_total":11"#),
            ("canary-1f0c", "canary-2f0c"),
        ] {
            assert_ne!(settled(one), settled(other));
        }
    }
}
