//! The few pieces of Markdown that generated files are made of.

/// The first line of every generated file.
pub(super) fn opening() -> String {
    "<!-- Written by `just deltas`; do not edit. -->\n\n".to_owned()
}

/// `text` escaped for a table or a sentence, so that nothing in it is Markdown or HTML.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => plain.extend(['\\', c]),
            '\n' | '\r' => plain.push(' '),
            _ => plain.push(c),
        }
    }
    plain
}

/// A fenced block. `content` must not contain a fence of the same length.
pub(super) fn fence(language: &str, content: &str) -> String {
    format!("````{language}\n{}\n````\n", content.trim_end_matches('\n'))
}

/// A section that is collapsed at first.
pub(super) fn folded(summary: &str, content: &str) -> String {
    format!(
        "\n<details><summary>{}</summary>\n\n{}\n</details>\n",
        plain(summary),
        content.trim_start()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_text() {
        assert_eq!(plain("a|b <id> *x* `y`"), "a\\|b &lt;id&gt; \\*x\\* \\`y\\`");
    }
}
