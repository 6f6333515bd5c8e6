//! The difference of two stages' `main.rs`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use similar::{ChangeTag, TextDiff};

use super::markdown;
use crate::support::stages::Stage;

/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 2;
/// Below this ratio (0 to 1) two files count as unrelated.
const MIN_SIMILARITY: f32 = 0.3;

/// The `main.rs` of a stage.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The stage's number.
    pub stage: u16,
    /// The path from the root of the workspace.
    pub path: String,
    /// The text, without the anchors for the book.
    pub text: String,
}

impl Wiring {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// When it is missing.
    pub fn read(stage: &Stage) -> Result<Self> {
        let file = stage.dir.join("src/main.rs");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let dir = stage.dir.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("stages/{dir}/src/main.rs");
        Ok(Self { stage: stage.number, path, text: without_anchors(&text) })
    }
}

fn without_anchors(text: &str) -> String {
    let is_anchor = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("// ANCHOR: ") || line.starts_with("// ANCHOR_END: ")
    };
    let lines: Vec<&str> = text.lines().filter(|line| !is_anchor(line)).collect();
    lines.join("\n") + "\n"
}

/// The Markdown of the difference.
///
/// # Errors
///
/// Never in practice: writing to a String cannot fail.
pub fn between(one: &Wiring, other: &Wiring) -> Result<String> {
    let diff = TextDiff::from_lines(&one.text, &other.text);
    let mut text = markdown::opening();
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (before, after) = (one.stage, other.stage);
    if diff.ratio() < MIN_SIMILARITY {
        let lines = one.text.lines().count();
        writeln!(
            text,
            "Nothing is shared with the {lines} lines of stage {before:02}: `{}` is a new file, and \
             from here on it is wiring.\n",
            other.path
        )?;
        let added: Vec<String> = other.text.lines().map(|line| format!("+{line}")).collect();
        text += &markdown::fence("diff", &added.join("\n"));
        return Ok(text);
    }
    let [gone, come, same] = [ChangeTag::Delete, ChangeTag::Insert, ChangeTag::Equal].map(count);
    if gone + come == 0 {
        writeln!(text, "The `main.rs` of stage {after:02} is that of stage {before:02}.")?;
        return Ok(text);
    }
    writeln!(
        text,
        "Of the {} lines of `main.rs`, {same} stay; {gone} go and {come} come.\n",
        same + gone
    )?;
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(CONTEXT_LINES).header(&one.path, &other.path).to_string();
    // The line numbers of a hunk are for `patch`; here they only separate.
    let lines = unified.lines().map(|line| if line.starts_with("@@") { "@@" } else { line });
    text += &markdown::fence("diff", &lines.collect::<Vec<_>>().join("\n"));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring(stage: u16, text: &str) -> Wiring {
        Wiring { stage, path: format!("stages/{stage:02}/src/main.rs"), text: text.to_owned() }
    }

    #[test]
    fn one_changed_line_is_seen_in_its_surroundings() {
        let lines = "use a;\nuse b;\n\nfn main() {\n    a();\n    b();\n    c();\n}\n";
        let one = wiring(2, lines);
        let other = wiring(3, &lines.replace("    b();", "    better();"));
        let text = between(&one, &other).unwrap();
        assert!(text.contains("Of the 8 lines of `main.rs`, 7 stay; 1 go and 1 come."), "{text}");
        let diff = "--- stages/02/src/main.rs\n+++ stages/03/src/main.rs\n@@\n fn main() {\n     a();\n\
                    -    b();\n+    better();\n     c();\n }\n";
        assert!(text.contains(diff), "{text}");
        assert!(between(&one, &one).unwrap().contains("is that of stage 02"));
    }

    #[test]
    fn a_new_file_is_shown_whole() {
        let text = between(&wiring(1, "a\nb\nc\n"), &wiring(2, "x\n\ny\n")).unwrap();
        assert!(text.contains("Nothing is shared with the 3 lines of stage 01"), "{text}");
        assert!(text.contains("+x\n+\n+y\n"), "{text}");
    }

    #[test]
    fn the_marks_of_the_book_are_no_wiring() {
        assert_eq!(without_anchors("a\n// ANCHOR: w\nb\n  // ANCHOR_END: w\n"), "a\nb\n");
    }
}
