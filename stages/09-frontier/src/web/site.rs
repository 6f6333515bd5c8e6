//! A page of another site may show a link to this server, and nothing else.

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use shared::http::Problem;

// ANCHOR: same_site
/// Refuses what a browser requests here for a page of another origin. `Host` and `Origin` have been checked, which
/// suffices for everything that changes something; this is about what only reads: a foreign page cannot see the
/// answer, but it can hold a stream open, and measure how long an answer takes.
///
/// The pages of the origins in `allowed` are no foreign ones (`--allow-origin`).
///
/// A link, and an address that a person types, are navigations of a whole window. Clients that are no browsers do not
/// send these headers.
pub(crate) fn same_site(head: &Parts, allowed: &[HeaderValue]) -> Result<(), Problem> {
    let value = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let is_allowed = head.headers.get("origin").is_some_and(|origin| allowed.contains(origin));
    let is_own = matches!(value("sec-fetch-site"), None | Some(b"same-origin" | b"none"));
    let is_link = head.method == Method::GET
        && value("sec-fetch-mode") == Some(b"navigate")
        && value("sec-fetch-dest") == Some(b"document");
    if is_own || is_link || is_allowed {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "a page of another origin may not do this"))
}
// ANCHOR_END: same_site

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: Method, fields: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let allowed = [HeaderValue::from_static("http://127.0.0.1:3000")];
        same_site(&request.body(()).unwrap().into_parts().0, &allowed).is_ok()
    }

    #[test]
    fn a_page_of_another_site_gets_nothing() {
        let site = |site| ("sec-fetch-site", site);
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert!(judge(Method::GET, &[]));
        assert!(judge(Method::GET, &[site("none"), link[0], link[1]]));
        assert!(judge(Method::POST, &[site("same-origin"), ("sec-fetch-mode", "cors")]));
        for other in ["cross-site", "same-site", "else"] {
            assert!(judge(Method::GET, &[site(other), link[0], link[1]]), "a link");
            assert!(!judge(Method::GET, &[site(other), frame[0], frame[1]]), "a frame");
            assert!(!judge(Method::POST, &[site(other), link[0], link[1]]), "a form");
            assert!(
                !judge(Method::GET, &[site(other), ("sec-fetch-mode", "no-cors")]),
                "a picture"
            );
            assert!(!judge(Method::GET, &[site(other)]));
            assert!(judge(Method::GET, &[site(other), ("origin", "http://127.0.0.1:3000")]));
            assert!(!judge(Method::GET, &[site(other), ("origin", "http://127.0.0.1:3001")]));
        }
    }
}
