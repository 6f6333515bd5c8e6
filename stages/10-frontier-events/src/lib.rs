//! Stage 10: parts speak by events, and work leaves the machine.
//!
//! Read in this order:
//!
//! 1. [`broker`]: carries tickets from the API to workers on other machines;
//! 2. `fleet`: those workers, as the API sees them; `worker`: what one of them does;
//! 3. `access`: what the operations of this stage need; `overlay`: what it adds to the contract;
//! 4. `args` and `commands`: the command line.
//!
//! What this stage does not protect: the machine of the API is one machine, and so is its disk.

mod access;
mod args;
pub mod broker;
mod commands;
mod fleet;
mod overlay;
mod worker;

pub use access::required;
pub use args::{EventArgs, EventsArgs};
pub use commands::EventsCommand;
pub use fleet::{Fleet, FleetArgs, FleetEngine, Role, fleet_routes, runner};
pub use overlay::contract;
