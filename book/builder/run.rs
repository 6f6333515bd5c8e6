//! The run button: which programs of a page have one, and which stage they are sent to.
//!
//! The caption of such a program gets the name of the stage's package, and `theme/run.js` puts a button
//! below it. The button sends the program to the reader's own stage, on its loopback address.

mod sent;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::ensure;
use lazy_regex::{Regex, regex};
use pulldown_cmark_escape::escape_html;

use self::sent::Sent;
use crate::pages::is_continued;

/// Stages up to this one isolate nothing: a reader is asked before a program runs.
const LAST_UNSANDBOXED: u32 = 3;
/// Stage 01 has no setting for the origin of a page: it is a hundred lines. Its programs go to the next
/// stage, which runs them in the same way.
const FIRST_WITH_ORIGINS: u32 = 2;
/// From this stage on, the engine is run by root, unless `--engine` names another.
const FIRST_AS_ROOT: u32 = 6;
/// From this stage on there may be keys.
const FIRST_WITH_KEYS: u32 = 9;

fn caption_pattern() -> &'static Regex {
    regex!(r#"<p class="file">(book/programs/([\w-]+)\.py)</p>\n\n```python\n"#)
}

/// The number of the stage that the programs of `page` are for. None if it is not a stage's chapter.
pub fn stage_of(page: &Path) -> Option<u32> {
    let name = page.to_str()?;
    let is_chapter = name.as_bytes().get(2) == Some(&b'-') || is_continued(page);
    let number = name.get(..2)?.parse::<u32>().ok().filter(|_| is_chapter)?;
    Some(number.max(FIRST_WITH_ORIGINS))
}

/// What the script needs to know of a stage, as attributes.
fn attributes(stage: u32, workspace: &Path) -> anyhow::Result<String> {
    let mut text =
        format!(" data-stage=\"{stage:02}\" data-package=\"{}\"", package(stage, workspace)?);
    for (is_so, attribute) in [
        (stage <= LAST_UNSANDBOXED, "unsandboxed"),
        (stage >= FIRST_AS_ROOT, "root"),
        (stage >= FIRST_WITH_KEYS, "keys"),
    ] {
        if is_so {
            let _ = write!(text, " data-{attribute}=\"\""); // a String takes everything
        }
    }
    Ok(text)
}

/// The text of a page, with the stage in the caption of each program.
///
/// # Errors
///
/// When the directory of the stages cannot be read, or has no such stage.
pub fn mark(page: &Path, text: &str, workspace: &Path) -> anyhow::Result<String> {
    let Some(stage) = stage_of(page).filter(|_| caption_pattern().is_match(text)) else {
        return Ok(text.to_owned());
    };
    let with = format!("<p class=\"file\"{}>$1</p>\n\n```python\n", attributes(stage, workspace)?);
    Ok(caption_pattern().replace_all(text, with).into_owned())
}

/// The text of a page with a listing, folded, of each program that its commands send and that neither the page
/// nor its quizzes show: `with_quizzes` is the same page with those.
///
/// # Errors
///
/// When an included file, a program or the stage is not there.
pub fn add_listings(
    page: &Path,
    text: &str,
    with_quizzes: &str,
    workspace: &Path,
) -> anyhow::Result<String> {
    let Some(stage) = stage_of(page) else { return Ok(text.to_owned()) };
    let captions = caption_pattern().captures_iter(with_quizzes);
    let shown: BTreeSet<String> = captions.map(|found| found[2].to_owned()).collect();
    let directory = workspace.join("book/src");
    let blocks = sent::first_of_each(sent::by_block(text, &directory)?, &shown);
    if blocks.is_empty() {
        return Ok(text.to_owned());
    }
    let attributes = attributes(stage, workspace)?;
    let (mut whole, mut end, mut number) = (String::new(), 0, 0);
    for (after, programs) in blocks {
        whole.push_str(text[end..after].trim_end());
        whole.push_str("\n\n");
        for program in programs {
            if let Sent::File(name) = &program {
                let file = workspace.join(format!("book/programs/{name}.py"));
                ensure!(file.exists(), "{}: there is no {}", page.display(), file.display());
            } else {
                number += 1;
            }
            whole.push_str(&listing(&program, number, &attributes));
        }
        end = after;
    }
    whole.push_str(&text[end..]);
    Ok(whole)
}

/// A folded program. One without a file has a number in its page.
fn listing(program: &Sent, number: usize, attributes: &str) -> String {
    let begin = "<details class=\"program\"><summary>";
    match program {
        // Its caption gets the attributes of the stage with all others.
        Sent::File(name) => format!(
            "{begin}Read it and run it: <code>{name}.py</code></summary>\n\n<p class=\"file\">book/programs/{name}.py</p>\n\n\
             ```python\n{{{{#include ../programs/{name}.py}}}}\n```\n\n</details>\n\n"
        ),
        Sent::Inline(code, seconds) => {
            let (mut data, mut within) = (String::new(), String::new());
            if let Some(seconds) = seconds {
                data = format!(" data-timeout=\"{seconds}\"");
                within = format!(", with {seconds} s to run");
            }
            let mut first = String::new();
            // A String takes everything.
            let _ = escape_html(&mut first, code.lines().next().unwrap_or_default());
            format!(
                "{begin}Run it: <code>{first}</code></summary>\n\n<p class=\"file\"{attributes}{data}>program {number} of the \
                 commands of this page{within}</p>\n\n```python\n{code}\n```\n\n</details>\n\n"
            )
        }
    }
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
    let marked = caption_pattern().find_iter(text).count();
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
        let of_09b = marked("09b-frontier-continued.md");
        assert!(of_09b.contains("stage-09-frontier\" data-root=\"\" data-keys=\"\">"), "{of_09b}");
        assert_eq!(marked("patterns.md"), PROGRAM);
        assert!(mark(Path::new("77-x.md"), PROGRAM, &workspace_root()).is_err());
    }

    #[test]
    fn a_program_that_is_only_sent_gets_a_listing() {
        let text = "A\n\n```console\n$ x run book/programs/hello.py; book/send.sh u -c 'print(1 < 2)'\n```\n\nB\n";
        let add = |page: &str, quizzes: &str| {
            add_listings(Path::new(page), text, quizzes, &workspace_root()).unwrap()
        };
        let added = add("07-advanced-v2.md", text);
        let (before, after) = added.split_once("B\n").unwrap();
        assert_eq!(after, "");
        for part in [
            "A\n\n```console\n$ x run",
            "```\n\n<details class=\"program\"><summary>Read it and run it: <code>hello.py</code></summary>",
            "<p class=\"file\">book/programs/hello.py</p>\n\n```python\n{{#include ../programs/hello.py}}\n```",
            "<summary>Run it: <code>print(1 &lt; 2)</code></summary>",
            "data-package=\"stage-07-advanced-v2\" data-root=\"\">program 1 of the",
            "```python\nprint(1 < 2)\n```",
        ] {
            assert!(before.contains(part), "{part}: {before}");
        }
        let shown = PROGRAM.replace("a.py", "hello.py");
        assert!(!add("07-advanced-v2.md", &shown).contains("hello.py</p>"));
        assert_eq!(add("patterns.md", text), text);
        let gone = text.replace("hello.py", "gone.py");
        let error = add_listings(Path::new("07-x.md"), &gone, "", &workspace_root()).unwrap_err();
        assert!(error.to_string().contains("gone.py"), "{error}");
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
