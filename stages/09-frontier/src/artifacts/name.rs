//! The name that a browser may save a file under: RFC 6266, from a path that a program has chosen.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use shared::evaluation::Encoding;
use shared::{Artifact, harmless};

/// What stands for itself in an extended value (RFC 8187), without what a shell or a file system gives a
/// meaning to.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// The longest name, in characters.
const MAX_NAME_LENGTH: usize = 100;

/// The header `Content-Disposition` of a file.
pub(super) fn disposition(number: usize, artifact: &Artifact) -> HeaderValue {
    let fallback = format!("artifact-{number}");
    let name = match artifact.encoding {
        Encoding::Utf8 => safe(artifact.path.rsplit('/').next().unwrap_or_default()),
        Encoding::Base64 => String::new(),
    };
    let name = if name.is_empty() { fallback } else { name };
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' })
        .collect();
    let extended = utf8_percent_encode(&name, UNRESERVED);
    let text = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{extended}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A name without a leading dot or dash, separators of other systems, and characters that control a
/// terminal or change the direction of writing.
fn safe(name: &str) -> String {
    let name = harmless(name).replace(['\\', ':', '\u{fffd}', '\n', '\t'], "_");
    name.trim_start_matches(['.', '-', ' ']).chars().take(MAX_NAME_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_can_be_saved() {
        let seen = |path: &[u8]| {
            let header = disposition(3, &Artifact::new(path, "".into()));
            header.to_str().unwrap().replace("attachment; filename=", "")
        };
        for (path, expected) in [
            (&b"plots/loss.png"[..], r#""loss.png"; filename*=UTF-8''loss.png"#),
            (b"...", r#""artifact-3"; filename*=UTF-8''artifact-3"#),
            (b".bashrc", r#""bashrc"; filename*=UTF-8''bashrc"#),
            (b"-rf *", r#""rf__"; filename*=UTF-8''rf%20%2A"#),
            (b"C:\\x\"; x=\"", r#""C__x___x__"; filename*=UTF-8''C__x%22%3B%20x%3D%22"#),
            (b"a\r\nSet-Cookie: x", r#""a__Set-Cookie__x"; filename*=UTF-8''a__Set-Cookie_%20x"#),
            (b"\xff\xfe", r#""artifact-3"; filename*=UTF-8''artifact-3"#),
            ("ü\u{202e}gpj.exe".as_bytes(), r#""__gpj.exe"; filename*=UTF-8''%C3%BC_gpj.exe"#),
        ] {
            assert_eq!(seen(path), expected, "{}", path.escape_ascii());
        }
        assert!(seen(&[b'x'; 255]).len() < 300);
    }
}
