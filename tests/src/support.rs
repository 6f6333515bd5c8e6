//! What every command of the ladder uses: the workspace and its stages, a running stage and a client
//! for it, numbers, progress bars and reports.

pub mod client;
mod kept;
pub mod percentile;
pub mod progress;
pub mod report;
pub mod server;
pub mod stages;
pub mod target;
pub mod workspace;
