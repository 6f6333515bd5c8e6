//! The files of the frontend. The compiler reads them; a test finds one that is not listed.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A file below `web/`.
pub(super) struct File {
    /// Its path there.
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(File { name: $name, bytes: include_bytes!(concat!("../../web/", $name)) },)*]
    };
}

/// All of them but the page itself.
pub(super) const FILES: &[File] = files![
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
    "lib/parts.js",
    "lib/picture.js",
    "lib/polled.js",
    "lib/programs.js",
    "lib/router.js",
    "lib/save.js",
    "lib/stream.js",
    "lib/submission.js",
    "lib/tail.js",
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
    "pages/submit.js",
    "vendor/LICENSES.txt",
    "vendor/codemirror.js",
    "vendor/preact.js",
    "vendor/uplot.css",
    "vendor/uplot.js",
];

impl File {
    /// Its media type, by its name.
    pub(super) fn media(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript",
            Some((_, "css")) => "text/css",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Its entity tag: a hash of its content.
    pub(super) fn tag(&self) -> String {
        let mut tag = String::from("\"");
        for byte in Sha256::digest(self.bytes).iter().take(16) {
            let _ = write!(tag, "{byte:02x}"); // a string takes all of it
        }
        tag + "\""
    }
}
