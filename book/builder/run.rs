//! The run button: which programs of a page have one, and which stage they are sent to.
//!
//! The caption of such a program gets the name of the stage's package, and `theme/run.js` puts a button
//! below it. The button sends the program to the reader's own stage, on its loopback address.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::pages::is_continued;

/// Stages up to this one isolate nothing: a reader is asked before a program runs.
const LAST_UNSANDBOXED: u32 = 3;
/// Stage 01 has no setting for the origin of a page: it is a hundred lines. Its programs go to the next
/// stage, which runs them in the same way.
const FIRST_WITH_ORIGINS: u32 = 2;

#[allow(clippy::expect_used, reason = "a constant pattern, compiled by the first test")]
static CAPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"<p class="file">(book/programs/[\w.-]+\.py)</p>\n\n```python\n"#)
        .expect("a valid pattern")
});

/// The number of the stage that the programs of `page` are for. None if it is not a stage's chapter.
pub fn stage_of(page: &Path) -> Option<u32> {
    let name = page.to_str()?;
    let is_chapter = name.as_bytes().get(2) == Some(&b'-') || is_continued(page);
    let number = name.get(..2)?.parse::<u32>().ok().filter(|_| is_chapter)?;
    Some(number.max(FIRST_WITH_ORIGINS))
}

/// The text of a page, with the stage in the caption of each program.
///
/// # Errors
///
/// When the directory of the stages cannot be read, or has no such stage.
pub fn mark(page: &Path, text: &str, workspace: &Path) -> anyhow::Result<String> {
    let Some(stage) = stage_of(page).filter(|_| CAPTION.is_match(text)) else {
        return Ok(text.to_owned());
    };
    let package = package(stage, workspace)?;
    let danger = if stage <= LAST_UNSANDBOXED { " data-unsandboxed=\"\"" } else { "" };
    let with = format!(
        "<p class=\"file\" data-stage=\"{stage:02}\" data-package=\"{package}\"{danger}>$1</p>\n\n```python\n"
    );
    Ok(CAPTION.replace_all(text, with).into_owned())
}

/// The name of a stage's package, after its directory.
fn package(stage: u32, workspace: &Path) -> anyhow::Result<String> {
    let prefix = format!("{stage:02}-");
    for entry in std::fs::read_dir(workspace.join("stages"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) {
            return Ok(format!("stage-{name}"));
        }
    }
    anyhow::bail!("there is no stage {stage:02}")
}

/// Programs of a chapter that have no caption, and so no button.
pub fn errors(page: &Path, text: &str) -> Vec<String> {
    if stage_of(page).is_none() {
        return Vec::new();
    }
    let shown = text.matches("{{#include ../programs/").count();
    let marked = CAPTION.find_iter(text).count();
    let is_bad = shown != marked;
    let error = format!(
        "{}: {shown} programs, of which {marked} have their path above them, so that they can be run",
        page.display()
    );
    is_bad.then_some(error).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace_root;

    const PROGRAM: &str = "<p class=\"file\">book/programs/a.py</p>\n\n```python\n{{#include ../programs/a.py}}\n```\n";

    #[test]
    fn a_program_of_a_chapter_is_for_the_stage_of_the_chapter() {
        let marked = |page: &str| mark(Path::new(page), PROGRAM, &workspace_root()).unwrap();
        let of_05 = marked("05-gvisor.md");
        assert!(
            of_05.contains("data-stage=\"05\" data-package=\"stage-05-gvisor\">book/programs/a.py"),
            "{of_05}"
        );
        for page in ["01-extreme-mvp.md", "02-queue.md"] {
            let text = marked(page);
            assert!(text.contains("stage-02-queue\" data-unsandboxed=\"\">"), "{text}");
        }
        assert!(marked("09b-frontier-continued.md").contains("stage-09-frontier"));
        assert_eq!(marked("patterns.md"), PROGRAM);
        assert!(mark(Path::new("77-x.md"), PROGRAM, &workspace_root()).is_err());
    }

    #[test]
    fn a_program_without_its_path_is_an_error() {
        let page = Path::new("05-gvisor.md");
        assert_eq!(errors(page, PROGRAM), [""; 0]);
        let (_, without) = PROGRAM.split_once("\n\n").unwrap();
        assert!(errors(page, without)[0].contains("1 programs, of which 0"));
        assert_eq!(errors(Path::new("patterns.md"), without), [""; 0]);
    }
}
