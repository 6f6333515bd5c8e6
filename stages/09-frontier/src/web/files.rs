//! The files of the frontend. The compiler reads them; a test finds one that is not listed.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// A file of the frontend.
#[derive(Debug)]
pub struct WebFile {
    /// Its path below `web/`.
    pub name: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(WebFile { name: $name, bytes: include_bytes!(concat!("../../web/", $name)) },)*]
    };
}

/// All of them but the page itself.
pub(super) const FILES: &[WebFile] = files![
    "app.js",
    "style.css",
    "lib/api.js",
    "lib/artifacts.js",
    "lib/chart.js",
    "lib/cursor.js",
    "lib/curl.js",
    "lib/diff.js",
    "lib/editor.js",
    "lib/evaluation.js",
    "lib/events.js",
    "lib/examples.js",
    "lib/format.js",
    "lib/frame.js",
    "lib/metrics.js",
    "lib/more.js",
    "lib/parts.js",
    "lib/picture.js",
    "lib/polled.js",
    "lib/programs.js",
    "lib/router.js",
    "lib/save.js",
    "lib/stream.js",
    "lib/submission.js",
    "lib/tail.js",
    "lib/terminal.js",
    "lib/text.js",
    "lib/ui.js",
    "lib/words.js",
    "pages/audit.js",
    "pages/compare.js",
    "pages/dashboard.js",
    "pages/environments.js",
    "pages/evaluation.js",
    "pages/keys.js",
    "pages/list.js",
    "pages/matrix.js",
    "pages/sandbox.js",
    "pages/sandboxes.js",
    "pages/submit.js",
    "vendor/LICENSES.txt",
    "vendor/codemirror.js",
    "vendor/preact.js",
    "vendor/uplot.css",
    "vendor/uplot.js",
];

/// None of them is in a file of ours. The examples of URLs in forms are texts of an attribute, not addresses that are loaded.
const DANGERS: [&str; 13] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "dangerously",
    "new Function",
    "srcdoc",
    "javascript:",
    "setAttribute(\"style\"",
    "image/svg",
    "@import",
    " url(",
];

impl WebFile {
    /// Its media type, by its name.
    pub(super) fn media(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript",
            Some((_, "css")) => "text/css",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// What must not be in it: ways by which text becomes markup or code, and addresses of other servers. For tests.
    pub fn dangers(&self) -> Vec<&'static str> {
        let text = String::from_utf8_lossy(self.bytes);
        DANGERS.into_iter().filter(|danger| text.contains(danger)).collect()
    }

    /// Its entity tag: a hash of its content.
    pub(super) fn tag(&self) -> String {
        format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(self.bytes)[..16]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Our own scripts and styles.
    fn own() -> impl Iterator<Item = (&'static str, &'static str)> {
        let own = FILES.iter().filter(|file| !file.name.starts_with("vendor/"));
        own.map(|file| (file.name, std::str::from_utf8(file.bytes).unwrap()))
    }

    #[test]
    fn every_file_is_listed() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there = BTreeSet::from(["app.js".to_owned(), "style.css".to_owned()]);
        for directory in ["lib", "pages", "vendor"] {
            for entry in web.join(directory).read_dir().unwrap() {
                there.insert(format!("{directory}/{}", entry.unwrap().file_name().display()));
            }
        }
        let listed: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there, listed);
    }

    #[test]
    fn nothing_becomes_markup() {
        for file in FILES.iter().filter(|file| !file.name.starts_with("vendor/")) {
            assert_eq!(file.dangers(), [""; 0], "{}", file.name);
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = include_str!("../../web/index.html");
        for (name, text) in own().chain([("index.html", page)]) {
            for other in ["http://", "https://"] {
                assert!(!text.contains(other), "{name}: {other}");
            }
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=\"/page.js\">").count()
        );
        for exception in ["<style", "style=", "onclick", "onload", "onerror"] {
            assert!(!page.contains(exception), "{exception}");
        }
    }
}
