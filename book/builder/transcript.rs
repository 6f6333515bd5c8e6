//! A transcript: commands as a reader types them, each with its output.
//!
//! ```text
//! $ printf 'a\n' |
//! >     cat
//! a
//! ```
//!
//! A line that begins with `$ ` is a command, `> ` continues it, and everything else is output.

/// A command and its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The lines of the command, without their prompts.
    pub command: Vec<String>,
    /// Standard output and standard error, interleaved, without the last newline.
    pub output: String,
}

impl Step {
    /// The command as a shell reads it.
    pub fn script(&self) -> String {
        self.command.join("\n")
    }
}

/// The steps of a transcript.
///
/// # Errors
///
/// When it has no command, or begins with output.
pub fn parse(text: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_command = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: vec![command.to_owned()], output: String::new() });
            in_command = true;
            continue;
        }
        let Some(step) = steps.last_mut() else {
            anyhow::bail!("a transcript begins with `$ ` and a command, not with {line:?}");
        };
        match line.strip_prefix("> ") {
            Some(more) if in_command => step.command.push(more.to_owned()),
            _ => {
                in_command = false;
                step.output.push_str(line);
                step.output.push('\n');
            }
        }
    }
    anyhow::ensure!(!steps.is_empty(), "a transcript has at least one command");
    for step in &mut steps {
        step.output = step.output.trim_end_matches('\n').to_owned();
    }
    Ok(steps)
}

/// The text of a transcript, in the format that [`parse`] reads.
pub fn write(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        for (at, line) in step.command.iter().enumerate() {
            text.push_str(if at == 0 { "$ " } else { "> " });
            text.push_str(line);
            text.push('\n');
        }
        if !step.output.is_empty() {
            text.push_str(&step.output);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_read_and_written_alike() {
        let text = "$ true\n$ cat <<END |\n> x\n> END\n>     cat\nx\n> not a command\n";
        let steps = parse(text).unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1].script(), "cat <<END |\nx\nEND\n    cat");
        assert_eq!(steps[1].output, "x\n> not a command");
        assert_eq!(write(&steps), text);
    }

    #[test]
    fn without_a_command_it_is_refused() {
        for text in ["", "hello\n$ true\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
