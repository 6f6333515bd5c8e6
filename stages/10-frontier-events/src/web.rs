//! The pages that this stage adds to the frontend of stage 09: workers, webhooks with rules, live events.
//!
//! The frontend below knows nothing of them. It asks one of its files, `lib/more.js`, which pages there are besides its
//! own, and this stage serves another file under this name.

use stage_09_frontier::WebFile;

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(WebFile { name: $name, bytes: include_bytes!(concat!("../web/", $name)) },)*]
    };
}

// ANCHOR: web
/// Served besides the files of stage 09, and in place of one with the same name.
pub const WEB: &[WebFile] = files![
    "lib/act.js",
    "lib/more.js",
    "lib/webhook.js",
    "pages/events.js",
    "pages/webhooks.js",
    "pages/workers.js",
];
// ANCHOR_END: web

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_listed_and_only_text_is_shown() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there = BTreeSet::new();
        for directory in ["lib", "pages"] {
            for entry in web.join(directory).read_dir().unwrap() {
                there.insert(format!("{directory}/{}", entry.unwrap().file_name().display()));
            }
        }
        let listed: BTreeSet<_> = WEB.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there, listed);
        for file in WEB {
            let found = file.dangers();
            assert!(found.is_empty(), "{}: {found:?}", file.name);
        }
    }
}
