//! Stage 10: parts speak by events, and work leaves the machine.
//!
//! Read in this order:
//!
//! 1. `access`: what the operations of this stage need; `overlay`: what it adds to the contract;
//! 2. `args` and `commands`: the command line.
//!
//! What this stage does not protect: the machine of the API is one machine, and so is its disk.

mod access;
mod args;
mod commands;
mod overlay;

pub use access::required;
pub use args::{EventArgs, EventsArgs};
pub use commands::EventsCommand;
pub use overlay::contract;
