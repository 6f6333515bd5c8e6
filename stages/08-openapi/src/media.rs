//! Media types of bodies.

use http::{HeaderMap, header};

/// The media type in `Content-Type`, without its parameters, in lower case. Empty when there is none.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Whether a body of this type is JSON.
pub(crate) fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), "");
        headers.insert("content-type", "Application/Problem+JSON ; charset=utf-8".parse().unwrap());
        assert_eq!(of(&headers), "application/problem+json");
        assert!(is_json(&of(&headers)) && !is_json("text/plain"));
    }
}
