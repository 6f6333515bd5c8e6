//! The page of stage 3, for clients with a key: the same, with a script that sends the key.
//!
//! Attack: a script of another origin, or a file that a program left, reads the key → it is in the storage
//! of a tab and of this origin, the policy of the page allows no other script, and a file is of an origin
//! of its own. Test: `the_page_works_with_a_key`.

use http::{Method, StatusCode};
use shared::http::{Router, bytes};
use stage_03_monitoring::PAGE_SCRIPT;

/// The script of the page, to be merged over that of the platform.
pub fn page_routes() -> Router {
    let script = script();
    Router::new().route(Method::GET, "/page.js", move |_| {
        let script = script.clone();
        async move { Ok(bytes(StatusCode::OK, "text/javascript", script)) }
    })
}

/// Both scripts in one function: the names of the first stand before those of the browser.
fn script() -> String {
    format!("(() => {{\n\"use strict\";\n{}{PAGE_SCRIPT}\n}})();\n", include_str!("page.js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_works_with_a_key() {
        let script = script();
        for door in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(door), "{door}");
        }
        // What the page of stage 3 uses of the browser's own.
        for name in ["fetch(path, { method, headers, body", "new EventSource(`/eval/"] {
            assert_eq!(PAGE_SCRIPT.matches(name).count(), 1, "{name}");
        }
        for name in ["const fetch =", "class EventSource {"] {
            assert!(
                script.find(name) < script.find("\"use strict\";\n// What a program"),
                "{name}"
            );
        }
    }
}
