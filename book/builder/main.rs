//! `crucible-book build` and `crucible-book serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crucible_book::pages::Pages;
use crucible_book::{book_root, epub, guide, render, serve, slides, times, workspace_root};

#[derive(Parser)]
#[command(about = "Build the book, or read it in a browser while you write it")]
struct Cli {
    /// Directory for the built book [default: target/book]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    into: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the book
    Build,
    /// Make an EPUB of the book (needs pandoc)
    Epub {
        /// File to write [default: target/crucible.epub]
        file: Option<PathBuf>,
    },
    /// Write the tables of the security guide from their data
    Guide,
    /// Write the slides of the two-day course, as one file
    Slides {
        /// The file [default: target/slides/crucible.html]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print how long each page takes to read, by its words
    Times,
    /// Serve the book on this machine, and build it again when a source changes
    Serve {
        /// Address to listen on; only loopback addresses are allowed
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
        listen: SocketAddr,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let into = cli.into.unwrap_or_else(|| workspace_root().join("target/book"));
    let done = match cli.command {
        Command::Build => render::checked(&book_root(), &into)
            .inspect(|()| println!("built {}", into.join("index.html").display())),
        Command::Epub { file } => {
            let file = file.unwrap_or_else(|| workspace_root().join("target/crucible.epub"));
            epub::write(&book_root(), &file).inspect(|()| println!("wrote {}", file.display()))
        }
        Command::Guide => guide::write(&book_root())
            .inspect(|()| println!("wrote {}", book_root().join(guide::TABLES).display())),
        Command::Slides { file } => {
            let file = file.unwrap_or_else(|| workspace_root().join("target/slides/crucible.html"));
            slides::write(&book_root(), &file).inspect(|()| println!("wrote {}", file.display()))
        }
        Command::Times => Pages::read(&book_root())
            .and_then(|pages| times::table(&pages))
            .inspect(|table| print!("{table}"))
            .map(drop),
        Command::Serve { listen } => serve::serve(listen, &book_root(), &into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
