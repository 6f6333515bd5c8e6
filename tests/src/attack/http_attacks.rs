//! Attacks on the server itself, from outside, over HTTP.
//!
//! Each is a function that runs the attack and returns the verdict by what it observes: a
//! well-behaved client that is no longer served, bytes that should not be there, a connection that
//! stays open. Its header is the same as that of a program, and is parsed as strictly.

mod artifacts;
mod cancel;
mod frontend;
mod identity;
mod input;
mod load;
mod output;
mod reach;
pub mod scopes;
mod slow;
mod streams;
mod tenants;
pub mod webhooks;
mod wire;

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::attack::probe::{Attack, Body, Header, Listing, Probe};

/// A header, and its attack.
struct HttpProbe {
    header: &'static str,
    file: &'static str,
    attack: Attack,
}

/// One [`HttpProbe`]: the function, and its header as in a program.
macro_rules! http_probe {
    ($function:path, $($line:literal)+) => {
        $crate::attack::http_attacks::HttpProbe {
            header: concat!($("# ", $line, "\n",)+ "# evidence: http\n"),
            file: file!(),
            attack: |testbed| Box::pin($function(testbed)),
        }
    };
}
use http_probe;

/// All of them.
///
/// # Errors
///
/// When a header is invalid.
pub fn probes() -> Result<Vec<Probe>> {
    let lists = [
        slow::LIST,
        input::LIST,
        reach::LIST,
        load::LIST,
        output::LIST,
        streams::LIST,
        cancel::LIST,
        identity::LIST,
        tenants::LIST,
        scopes::LIST,
        artifacts::LIST,
        frontend::LIST,
        webhooks::LIST,
    ];
    let all = lists.into_iter().flatten();
    all.map(|http_probe| {
        let header = Header::parse(http_probe.header, Path::new(http_probe.file));
        let header = header.map_err(|error| anyhow!("{error}"))?;
        // The function stands between anchors with the name of its probe.
        let anchor = header.id.split_once('/').map(|(_, name)| name.to_owned());
        let listings = vec![Listing { file: http_probe.file.to_owned(), anchor }];
        let body = Body::Http(http_probe.attack);
        Ok(Probe { header, body, others: Vec::new(), listings })
    })
    .collect()
}
