//! Serves the built book over HTTP to its author, and builds it again whenever a source changes.
//!
//! Listens on a loopback address only, and serves the files of one directory by names without `..`.
//! What it does not protect: it has no access control, and is not for deployment.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use http::{Method, StatusCode};
use shared::http::{Endpoint, MatchedRequest, Problem, Response, Router, ServerOptions, bytes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::pages::files_below;
use crate::render;

/// How often the sources are checked for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The directories that a book may include from. A workspace need not have all of them.
const SOURCE_DIRS: [&str; 10] = [
    "book/src",
    "book/theme",
    "book/transcripts",
    "book/programs",
    "book/quizzes",
    "book/deltas",
    "shared/src",
    "stages",
    "tests",
    "infrastructure",
];

/// Serves the book in `book` at `address`, built into `built`, until Ctrl-C.
///
/// # Errors
///
/// When the address is not a loopback address or is in use, or the first build fails.
pub fn serve(address: SocketAddr, book: &Path, built: &Path) -> anyhow::Result<()> {
    if !address.ip().is_loopback() {
        bail!("{address} can be reached from other machines; use a 127.0.0.1 address");
    }
    render::build(book, built)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; choose another with --listen"))?;
        println!("listening on http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let service = Arc::new(router(built));
        let endpoint = Endpoint::new(service, ServerOptions::default(), stop.clone());
        let serving = tokio::spawn(stage_02_queue::serve(Arc::new(endpoint), listener));
        tokio::select! {
            () = rebuild_on_change(book, built) => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        stop.cancel();
        serving.await?;
        Ok(())
    })
}

/// The routes that serve the files of `built`.
pub fn router(built: &Path) -> Router {
    let built: Arc<Path> = built.into();
    let page = move |matched: MatchedRequest| {
        let built = Arc::clone(&built);
        async move { file(&built, matched.request.uri().path()) }
    };
    Router::new().route(Method::GET, "/", page.clone()).route(Method::GET, "/{*path}", page)
}

fn file(built: &Path, path: &str) -> Result<Response, Problem> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let missing = || Problem::new(StatusCode::NOT_FOUND, "the book has no such page");
    if !plain {
        return Err(missing());
    }
    let mut file = built.join(relative);
    if file.is_dir() {
        file.push("index.html");
    }
    let content = std::fs::read(&file).map_err(|_| missing())?;
    Ok(bytes(StatusCode::OK, content_type(&file), content))
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

async fn rebuild_on_change(book: &Path, built: &Path) {
    let mut known = newest(book);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = newest(book);
        if now == known {
            continue;
        }
        known = now;
        let (from, into) = (book.to_path_buf(), built.to_path_buf());
        match tokio::task::spawn_blocking(move || render::checked(&from, &into)).await {
            Ok(Ok(())) => println!("built again"),
            Ok(Err(error)) => eprintln!("{error:#}"),
            Err(error) => eprintln!("the build did not finish: {error}"),
        }
    }
}

/// The time of the last change, and the number of files, so that a removal is a change too.
fn newest(book: &Path) -> (Option<SystemTime>, usize) {
    let root = book.parent().unwrap_or(book);
    let directories = SOURCE_DIRS.iter().map(|directory| root.join(directory));
    // A directory that is removed during the scan is noticed by the next one.
    let files: Vec<PathBuf> =
        directories.flat_map(|directory| files_below(&directory).unwrap_or_default()).collect();
    let changed = files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max();
    (changed, files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_directory_are_served() {
        let root = tempfile::tempdir().unwrap();
        let built = root.path().join("book");
        std::fs::create_dir_all(built.join("img")).unwrap();
        std::fs::write(built.join("index.html"), "home").unwrap();
        std::fs::write(built.join("img/a.svg"), "<svg/>").unwrap();
        std::fs::write(root.path().join("secret"), "no").unwrap();
        let status =
            |path| file(&built, path).map_or_else(|problem| problem.status(), |page| page.status());
        for path in ["/", "/index.html", "/img/a.svg"] {
            assert_eq!(status(path), StatusCode::OK, "{path}");
        }
        for path in ["/../secret", "/img/../../secret", "//etc/passwd", "/img", "/gone"] {
            assert_eq!(status(path), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused() {
        let nowhere = Path::new("/nowhere");
        let error = serve("0.0.0.0:0".parse().unwrap(), nowhere, nowhere).unwrap_err();
        assert!(error.to_string().contains("other machines"), "{error}");
    }
}
