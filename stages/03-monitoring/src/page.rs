//! The page of this stage, and of the next two, which put their own name into it.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a program prints `<script>` or `<img onerror=…>` | output is only ever set as text, and the policy allows no script but `/page.js` | `the_page_can_run_nothing_but_its_own_file` |
//! | a program prints terminal escapes, or characters that turn the direction of text round | the page shows each of them as its code point | by eye: the example *hostile output* |

use http::{Method, StatusCode};
use shared::http::{Router, bytes, html};

/// What the page and the events of a stage call it.
#[derive(Debug, Clone, Copy)]
pub struct StageInfo {
    /// The name of its package; `source` of its events as well.
    pub name: &'static str,
    /// One line on what isolates a program from the machine.
    pub isolation: &'static str,
}

const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; \
                      style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The script of the page, for a stage that puts something in front of it.
pub const PAGE_SCRIPT: &str = include_str!("page.js");

pub(crate) fn routes(stage: StageInfo) -> Router {
    let page = include_str!("page.html");
    let page = page.replace("{{name}}", stage.name).replace("{{isolation}}", stage.isolation);
    let file = |content_type, text: &'static str| {
        move |_| async move { Ok(bytes(StatusCode::OK, content_type, text)) }
    };
    Router::new()
        .route(Method::GET, "/", move |_| {
            let page = page.clone();
            async move { Ok(html(page, POLICY)) }
        })
        .route(Method::GET, "/page.js", file("text/javascript", PAGE_SCRIPT))
        .route(Method::GET, "/page.css", file("text/css", include_str!("page.css")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_can_run_nothing_but_its_own_file() {
        assert!(!POLICY.contains("unsafe"));
        let html = include_str!("page.html");
        assert!(!html.contains("<style"), "the policy would ignore it");
        for (at, _) in html.match_indices("<script") {
            assert!(html[at..].starts_with("<script src=\"/page.js\" defer></script>"));
        }
        for handler in ["onclick", "onerror", "onload", "style=", "http://", "https://"] {
            assert!(!html.contains(handler), "{handler}");
        }
    }

    #[test]
    fn output_is_never_read_as_html() {
        let script = include_str!("page.js");
        for door in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(door), "{door}");
        }
    }
}
