//! The book's sources, read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Every Markdown file below `src`, with the directory it was read from.
#[derive(Debug, Clone)]
pub struct Pages {
    /// The directory with `book.toml`.
    pub book: PathBuf,
    /// Text by path; the paths are relative to `src`, such as `01-extreme-mvp.md`.
    pub texts: BTreeMap<PathBuf, String>,
}

impl Pages {
    /// Reads the pages of the book in `book`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn read(book: &Path) -> anyhow::Result<Self> {
        let source = book.join("src");
        let mut texts = BTreeMap::new();
        for file in files_below(&source)? {
            if file.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                texts.insert(file.strip_prefix(&source)?.to_path_buf(), text);
            }
        }
        Ok(Self { book: book.to_path_buf(), texts })
    }

    /// The directory of the pages. Their includes are relative to it.
    pub fn source(&self) -> PathBuf {
        self.book.join("src")
    }

    /// The chapters of the stages: those whose file name begins with two digits, and a letter where a chapter continues
    /// that of its stage.
    pub fn chapters(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.texts.iter().filter(|(path, _)| is_chapter(path)).map(|(path, text)| {
            let text = text.as_str();
            (path.as_path(), text)
        })
    }
}

fn is_chapter(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    name.len() > 3
        && name[..2].iter().all(u8::is_ascii_digit)
        && (name[2] == b'-' || is_continued(path))
}

/// Whether a chapter continues that of its stage, as `09b-frontier-continued.md` does.
pub fn is_continued(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    name.len() > 4 && name[2].is_ascii_lowercase() && name[3] == b'-'
}

/// All files below `directory`, sorted.
///
/// # Errors
///
/// When a directory cannot be read.
pub fn files_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read the directory {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
