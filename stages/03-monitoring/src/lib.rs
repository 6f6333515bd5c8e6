//! Stage 3: monitoring, while it happens.
//!
//! The queue of stage 2 emits events to an [`shared::EventSink`]. This stage is such a sink: it
//! numbers each event, stores the newest ones within fixed bounds, lets readers follow them live or
//! from where they left off, and counts them.
//!
//! Read in this order:
//!
//! 1. [`service`]: the trait of every monitor;
//! 2. [`sequenced`]: one numbered event, and the CloudEvents envelope it is sent in;
//! 3. [`event_log`]: the bounded history of events, and the trait that a durable one implements;
//! 4. [`subscription`]: following the log from a number on, without ever blocking it;
//! 5. [`in_memory`] and [`advanced`]: the two monitors, and [`metrics`], which the second adds;
//! 6. `sse` and [`routes`]: all of that over HTTP, with the page in `page.html`.
//!
//! What this stage does not protect: the machine. It shows an attack and does not stop it.

pub mod service;

pub mod sequenced;

pub mod event_log;
pub mod subscription;

pub mod advanced;
pub mod in_memory;
pub mod metrics;

mod self_test;

mod routes;

mod client_streams;
mod page;
mod sse;

pub use advanced::AdvancedMonitor;
pub use event_log::{
    EventLog, EventLogError, EventLogLimits, Filter, Gap, History, InMemoryEventLog, LogMismatch,
    LogStats, Next, SubscribeError,
};
pub use in_memory::{InMemoryMonitor, MonitorOptions};
pub use metrics::Metrics;
pub use page::PAGE_SCRIPT;
pub use routes::{StageInfo, routes};
pub use sequenced::{SequencedEvent, StoredEvent};
pub use service::MonitoringService;
pub use subscription::{Delivery, Subscription};
