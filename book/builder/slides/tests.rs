//! Tests of the deck: a small book, and bad examples.

use super::*;

const PAGE: &str = "# A\n\n## The idea\n\nOne. Two [link](b.md). `just lint` does it.\n\n* **Bold.** a\n* **Two.** b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n<figure>\n{{#include img/a.svg}}\n</figure>\n\n<p class=\"file\">src/code.rs</p>\n\n```rust,ignore\n{{#include ../code.rs:all}}\n```\n\n```shell\n{{#include ../transcripts/a.console}}\n```\n\n## Predict, then run\n\n**1.** Why?\n\n<details><summary>Answer</summary>\n\nSo.\n\n</details>\n\n**2.** How?\n";

fn book() -> tempfile::TempDir {
    let book = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("src/a.md", PAGE),
        ("src/img/a.svg", "<svg><title>t</title></svg>"),
        ("code.rs", "// ANCHOR: all\nlet a = \"<\";\nlet b;\n// ANCHOR_END: all\n"),
        ("transcripts/a.console", "$ echo 1\n1\n2\n3\n$ echo 2\n2\n"),
        ("exercises/04-1-x/exercise.toml", "title = 'X'\nkind = 'fix'\nminutes = 5\n"),
        ("slides/deck.css", "/* style */"),
        ("slides/deck.js", "// script"),
    ] {
        let path = book.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    book
}

/// A deck with one slide that takes this.
fn made(section: &str, take: &str) -> anyhow::Result<String> {
    let book = book();
    let session = format!(
        "day = 1\nstart = '09:00'\nminutes = 30\nhands_on = 10\ntitle = 'S'\npage = 'a.md'\n[[slide]]\nsection = '{section}'\ntake = ['{take}']\nsay = 'Say *this*.'\n"
    );
    std::fs::write(book.path().join("slides/1.toml"), session).unwrap();
    deck(book.path())
}

#[test]
fn each_piece_is_taken_from_its_section() {
    for (take, shown) in [
        ("text 1", "<p>One. Two link. <code>just lint</code> does it.</p>"),
        ("text 1 1", "<p>One.</p>\n</div>"),
        ("list 1", "<strong>Bold.</strong> a</li>"),
        ("list 1 leads", "<li>Bold.</li><li>Two.</li></ul>"),
        ("list 1 1", "<li><strong>Bold.</strong> a</li>\n</ul>"),
        ("table 1 1", "<td>1</td><td>2</td></tr>\n</tbody></table>"),
        ("table 1 2 2", "<tr><td>4</td></tr>"),
        ("figure", "<title>t</title>"),
        (
            "code all",
            "<p class=\"file\">src/code.rs</p><pre>let a = &quot;&lt;&quot;;\nlet b;</pre>",
        ),
        ("code all 2-2", "<pre>let b;</pre>"),
        ("shell a 1 2", "<b>$ echo 1</b>\n1\n2\n...</pre>"),
        ("shell a 2", "<pre class=\"shell\"><b>$ echo 2</b>\n2</pre>"),
        ("plan 1", "<td>09:00</td><td>09:30</td><td>S</td><td>30</td><td>10</td>"),
        ("exercises 04", "<code>just exercise 04-1</code></td><td>X</td>"),
    ] {
        let html = made("The idea", take).unwrap();
        assert!(html.contains(shown), "{take}: {html}");
    }
}

#[test]
fn notes_have_words_time_commands_and_the_answer() {
    let html = made("The idea", "shell a 1").unwrap();
    let (_, notes) = html.split_once("<aside class=\"notes\">").unwrap();
    for part in
        ["Day 1, 09:00, 30 minutes, of which 10", "Say <em>this</em>.", "echo 1\necho 2\njust lint"]
    {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let html = made("Predict, then run", "question 1").unwrap();
    let (slide, notes) = html.split_once("<aside class=\"notes\">").unwrap();
    assert!(slide.contains("Why?") && !slide.contains("So."), "{slide}");
    assert!(notes.contains("<p>So.</p>") && !notes.contains("How?"), "{notes}");
}

#[test]
fn what_is_not_there_is_an_error() {
    for (section, take, error) in [
        ("The ideas", "text 1", "no section"),
        ("The idea", "text 9", "no Paragraph number 9"),
        ("The idea", "code none", "no listing"),
        ("The idea", "shell b", "includes no"),
        ("The idea", "shell a 3", "has 2 commands"),
        ("The idea", "list 1 leads 3", "none of the pieces"),
        ("The idea", "question 3", "no question 3"),
        ("The idea", "exercises 05", "no exercises"),
        ("The idea", "image x", "there is no"),
    ] {
        let found = format!("{:#}", made(section, take).unwrap_err());
        assert!(found.contains(error) && found.contains("slide 1 of \"S\""), "{take}: {found}");
    }
}

#[test]
fn sessions_that_overlap_are_an_error() {
    let book = book();
    for (file, start) in [("1.toml", "09:00"), ("2.toml", "09:29")] {
        let text = format!("day = 1\nstart = '{start}'\nminutes = 30\ntitle = '{file}'\n");
        std::fs::write(book.path().join("slides").join(file), text).unwrap();
    }
    let error = read(book.path()).unwrap_err().to_string();
    assert!(error.contains("\"1.toml\" is not over when \"2.toml\" begins"), "{error}");
}

#[test]
fn the_course_is_two_days_and_shows_every_stage() {
    let sessions = read(&crate::book_root()).unwrap();
    let days: std::collections::BTreeSet<u8> = sessions.iter().map(|session| session.day).collect();
    assert_eq!(days.into_iter().collect::<Vec<_>>(), [1, 2]);
    let pages: Vec<&str> = sessions.iter().filter_map(|session| session.page.as_deref()).collect();
    for stage in 1..=10 {
        let prefix = format!("{stage:02}-");
        assert!(pages.iter().any(|page| page.starts_with(&prefix)), "no session on stage {stage}");
    }
    deck(&crate::book_root()).unwrap();
}
