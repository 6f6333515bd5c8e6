//! Attacks on the server itself, from outside, over HTTP.
//!
//! Each is a function that does the attack and judges by what it sees: an honest client that is no
//! longer served, bytes that should not be there, a connection that stays open. Its header is the
//! same as that of a program, and is read as strictly.

mod cancel;
mod identity;
mod input;
mod load;
mod output;
mod reach;
mod slow;
mod streams;
mod wire;

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::attack::probe::{Attack, Body, Header, Probe};

/// A header, and what it is about.
struct Listed {
    header: &'static str,
    file: &'static str,
    attack: Attack,
}

/// One [`Listed`]: the function, and its header as it would stand in a program.
macro_rules! listed {
    ($function:path, $($line:literal)+) => {
        $crate::attack::http_attacks::Listed {
            header: concat!($("# ", $line, "\n",)+ "# evidence: http\n"),
            file: file!(),
            attack: |testbed| Box::pin($function(testbed)),
        }
    };
}
use listed;

/// All of them.
///
/// # Errors
///
/// When a header is not as it should be.
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
    ];
    let all = lists.into_iter().flatten();
    all.map(|listed| {
        let header = Header::parse(listed.header, Path::new(listed.file));
        let header = header.map_err(|error| anyhow!("{error}"))?;
        Ok(Probe { header, body: Body::Http(listed.attack) })
    })
    .collect()
}
