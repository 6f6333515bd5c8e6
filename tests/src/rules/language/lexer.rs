//! Rust source in its comments, string literals and the rest, line by line.
//!
//! It recognises comments and literals, and no other syntax of the language.

use super::Place;

/// The pieces of `source`, each with the number of its line. The quotes belong to a literal, and the
/// slashes to a comment.
pub(super) fn fragments(source: &str) -> Vec<(usize, Place, String)> {
    let mut fragments: Vec<(usize, Place, String)> = Vec::new();
    let (mut line, mut rest) = (1, source);
    while !rest.is_empty() {
        let (place, length) = token(rest);
        let (token, after) = rest.split_at(length);
        for (index, part) in token.split('\n').enumerate() {
            line += usize::from(index > 0);
            match fragments.last_mut() {
                // Code comes character by character.
                Some((at, of, text)) if (*at, *of) == (line, place) => text.push_str(part),
                _ => fragments.push((line, place, part.to_owned())),
            }
        }
        rest = after;
    }
    fragments.retain(|(.., text)| !text.trim().is_empty());
    fragments
}

/// The place and the length of the token at the beginning of `rest`, which is not empty.
fn token(rest: &str) -> (Place, usize) {
    if rest.starts_with("//") {
        return (Place::Comments, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Place::Comments, block_comment(rest));
    }
    if let Some(length) = raw_string(rest) {
        return (Place::Strings, length);
    }
    if rest.starts_with('"') {
        return (Place::Strings, quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        return (Place::Code, character(rest));
    }
    // A whole word at once: its last letter must not pass for the prefix of a literal.
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let word = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
    let prefix = ["b", "c"].contains(&&rest[..word]) && rest[word..].starts_with(['"', '\'']);
    if word > 0 && !prefix {
        return (Place::Code, word);
    }
    (Place::Code, rest.chars().next().map_or(1, char::len_utf8))
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, and the same with `b` or `c` in front.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        after.trim_start_matches('#').starts_with('"') && after.starts_with(['#', '"'])
    })?;
    let hashes = rest[prefix.len()..].chars().take_while(|character| *character == '#').count();
    let begin = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len());
    Some(length)
}

/// A literal that begins with `quote` and ends with the next one that is not escaped.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => quoted(rest, '\''),
        (Some(character), Some('\'')) => character.len_utf8() + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(place: Place, source: &str) -> Vec<String> {
        let found = fragments(source).into_iter().filter(|fragment| fragment.1 == place);
        found.map(|(_, _, text)| text.trim().to_owned()).collect()
    }

    #[test]
    fn comments_strings_and_code_are_told_apart() {
        let source =
            "let a = \"x // y\"; // z \"w\"\n/* a /* b */ c */ f(b\"q\\\"\", 'c', '\"');\n";
        assert_eq!(of(Place::Strings, source), ["\"x // y\"", "\"q\\\"\""]);
        assert_eq!(of(Place::Comments, source), ["// z \"w\"", "/* a /* b */ c */"]);
        assert_eq!(of(Place::Code, source), ["let a =", ";", "f(b", ", 'c', '\"');"]);
    }

    #[test]
    fn lifetimes_and_raw_strings_do_not_confuse() {
        let source =
            "fn f<'a>(x: &'a str) { g(r#\"one \"two\" \\\"#, br\"x\", r#type, '\\'', '\\u{7f}') }";
        assert_eq!(of(Place::Strings, source), ["r#\"one \"two\" \\\"#", "br\"x\""]);
        assert_eq!(of(Place::Comments, source), [""; 0]);
        let source = "for x in bar { \"é\" } // é";
        assert_eq!(of(Place::Strings, source), ["\"é\""]);
        assert_eq!(of(Place::Comments, source), ["// é"]);
    }

    #[test]
    fn lines_are_counted_in_every_place() {
        let source = "a\n\"b\nc\"\n/*\nd*/\n// e";
        let lines: Vec<_> = fragments(source).into_iter().map(|(line, ..)| line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6]);
    }
}
