//! Stage 10: parts speak by events, and work leaves the machine.
//!
//! Read in this order:
//!
//! 1. `bus`: subscribers of the event log;
//! 2. `webhooks`: events that are sent to a URL; `rules`: the same by a file of the operator;
//! 3. `subscribers`: metrics, audit and retention, which nothing calls any more;
//!    `violations`: the event of a lost isolation; `metrics`: what is counted of the bus; `parts`: all these,
//!    started together;
//! 4. `broker`: carries tickets from the API to workers on other machines;
//! 5. `fleet`: those workers, as the API sees them; `worker`: what one of them does; `tls`;
//! 6. `web`: the pages of all these; `access`: what the operations of this stage need; `overlay`: what it adds to the contract;
//! 7. `args` and `commands`: the command line.
//!
//! What this stage does not protect: the machine of the API is one machine, and so is its disk.

mod bus;
mod rules;
mod subscribers;
mod webhooks;

mod metrics;
mod parts;
mod violations;

mod access;
mod args;
mod broker;
mod bugs;
mod commands;
mod fleet;
mod overlay;
mod web;
mod worker;

pub use access::required;
pub use args::{EventArgs, EventsArgs};
pub use broker::{
    Broker, BrokerArgs, BrokerError, BrokerOptions, BrokerStats, DeadCommand, DeadLetter,
    DeadReason, Delivery, MemoryBroker, QueueUrl, QueueUrlError, Ticket, open as open_broker,
};
pub use bus::{
    BusItem, BusReader, DurableHandler, EventBus, HistoryPage, Lag, ReadEnd, Start, Subscribe,
    SubscriberStats, Topic, TopicError, Work,
};
pub use commands::EventsCommand;
pub use fleet::wire::{
    Announcement, ClaimReply, ClaimRequest, FilePath, FileRequest, OutputRequest, Piece,
    ResultRequest, SyncReply, SyncRequest, Welcome, WireBounds,
};
pub use fleet::{Fleet, FleetArgs, FleetEngine, Role, engine_name, fleet_routes};
pub use overlay::contract;
pub use parts::{Below, Parts};
pub use rules::{RuleError, Rules};
pub use web::WEB;
pub use webhooks::{
    NetworkPolicy, Refused, Secret, SecretError, VaultError, Webhook, WebhookOptions, Webhooks,
};
