//! The web frontend: files of `web/`, compiled in. It works without a network, and loads nothing from elsewhere.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a program prints a script, or calls a file, a label or a key so | all of them become text nodes; the policy allows no script but these files, and no text that becomes markup or code | `nothing_becomes_markup`, `the_policy_has_no_exception` |
//! | a script of another origin, or a file that a program left, reads the key | it is in the storage of a tab and of this origin, and a file is of an origin of its own | `the_policy_has_no_exception` |
//! | a page of another site frames this one, posts to this server, or follows its streams | `frame-ancestors`, the checks of `Host` and `Origin` below, and [`same_site`] | `a_page_of_another_site_gets_nothing` |
//! | the window of another site that has opened this page holds on to it | `Cross-Origin-Opener-Policy` | `the_page_is_isolated` |

mod files;
mod site;

use http::{HeaderValue, Method, StatusCode, header};
use shared::http::{MatchedRequest, Problem, Response, Router, bytes, full, html};

use files::FILES;
pub use files::WebFile;
pub(crate) use site::same_site;

/// No text becomes markup or code, either: no script may assign to `innerHTML`, whatever it comes to.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; \
                      img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
/// Files have no version in their name: a browser asks whether its copy is still the one.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: &str = "cross-origin-opener-policy";
const RESOURCE_POLICY: &str = "cross-origin-resource-policy";

type Answer = Result<Response, Problem>;

// ANCHOR: routes
/// The routes of the frontend, to be merged over those of the platform, whose page it replaces. Files in `more` are
/// served as well; one with the name of a file of this stage is served in its place.
pub fn web_routes(more: &'static [WebFile]) -> Router {
    let named = |name: &'static str| move |request| async move { answer(more, name, &request) };
    Router::new()
        .route(Method::GET, "/", page)
        .route(Method::GET, "/page.js", named("app.js"))
        .route(Method::GET, "/page.css", named("style.css"))
        .route(Method::GET, "/web/{directory}/{file}", move |request| async move {
            let directory: String = request.param("directory")?;
            let name: String = request.param("file")?;
            answer(more, &format!("{directory}/{name}"), &request)
        })
}
// ANCHOR_END: routes

async fn page(request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    let mut response = html(include_str!("../web/index.html"), POLICY);
    let headers = response.headers_mut();
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    Ok(response)
}

/// A file, or 304 for a browser that has it.
fn answer(more: &'static [WebFile], name: &str, request: &MatchedRequest) -> Answer {
    let [] = request.query([])?;
    let mut files = more.iter().chain(FILES);
    let file = files.find(|file| file.name == name).ok_or_else(Problem::unknown_path)?;
    let tag = file.tag();
    let mut response = if has(request.header("if-none-match"), &tag) {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        bytes(StatusCode::OK, file.media(), file.bytes)
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    headers.insert(
        header::ETAG,
        HeaderValue::try_from(tag).map_err(|error| Problem::internal(&error))?,
    );
    Ok(response)
}

/// Whether `If-None-Match` names `tag`. The comparison is the weak one (RFC 9110, section 13.1.2).
fn has(names: Option<&str>, tag: &str) -> bool {
    names.is_some_and(|names| {
        names
            .split(',')
            .map(str::trim)
            .any(|name| name == "*" || name.trim_start_matches("W/") == tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_no_exception() {
        assert!(!POLICY.contains("unsafe") && !POLICY.contains('*') && !POLICY.contains("http"));
        for directive in
            ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "form-action 'none'"]
        {
            assert!(POLICY.split("; ").any(|own| own == directive), "{directive}");
        }
    }

    #[test]
    fn a_copy_is_compared_by_its_tag() {
        let tag = "\"a\"";
        for names in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(has(Some(names), tag), "{names}");
        }
        for names in [None, Some(""), Some("\"b\""), Some("a")] {
            assert!(!has(names, tag), "{names:?}");
        }
    }
}
