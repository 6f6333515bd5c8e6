//! The value of the header: a string of Structured Fields (RFC 8941), in quotes.

use http::{HeaderMap, StatusCode};
use shared::http::Problem;

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// The key of a request, if it has one.
///
/// # Errors
///
/// 400 when the header is there and is not one string in quotes: a key that is ignored would let the
/// client repeat what it must not.
pub fn parse(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().and_then(unquote);
    if let (Some(key), None) = (key, values.next()) {
        return Ok(Some(key));
    }
    let detail = format!(
        "Idempotency-Key takes one string of 1 to {MAX_KEY} characters in quotes, such as \
         \"8e03978e-40d5-43e8-bc93-6894a57f9324\""
    );
    Err(Problem::new(StatusCode::BAD_REQUEST, detail))
}

/// The text of a quoted string.
fn unquote(text: &str) -> Option<String> {
    let inner = text.trim_matches([' ', '\t']).strip_prefix('"')?.strip_suffix('"')?;
    let (mut key, mut rest) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(character) = rest.next() {
        match character {
            '\\' => key.push(rest.next().filter(|next| ['"', '\\'].contains(next))?),
            '"' => return None,
            ' '..='~' => key.push(character),
            _ => return None,
        }
    }
    (1..=MAX_KEY).contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_string_in_quotes() {
        for (text, key) in [
            ("\"a\"", "a"),
            (" \"8e03978e-40d5\" ", "8e03978e-40d5"),
            ("\"a b\"", "a b"),
            (r#""a\"b\\""#, r#"a"b\"#),
        ] {
            assert_eq!(unquote(text).as_deref(), Some(key), "{text}");
        }
        let long = format!("\"{}\"", "x".repeat(MAX_KEY + 1));
        for text in [
            "", "a", "\"", "\"\"", "\"a", "a\"", "'a'", "\"a\"b\"", r#""\a""#, r#""\""#, "\"é\"",
            "\"a\";b", &long,
        ] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }

    #[test]
    fn two_headers_are_no_key() {
        let mut headers = HeaderMap::new();
        assert!(parse(&headers).unwrap().is_none());
        headers.append("idempotency-key", "\"a\"".parse().unwrap());
        assert_eq!(parse(&headers).unwrap().as_deref(), Some("a"));
        headers.append("idempotency-key", "\"a\"".parse().unwrap());
        assert_eq!(parse(&headers).unwrap_err().status(), 400);
    }
}
