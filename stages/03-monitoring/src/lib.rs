//! Stage 3: seeing what happens while it happens.
//!
//! The queue of stage 2 tells an [`shared::EventSink`] of everything it does. This stage is such a
//! sink. It numbers each event, keeps the newest ones within fixed bounds, lets any number of
//! readers follow them live or from where they left off, and counts them.
//!
//! Read in this order:
//!
//! 1. [`service`]: the trait of every monitor;
//! 2. [`recorded`]: one numbered event, and the CloudEvents envelope it travels in;
//! 3. `ring` and `log`: the bounded history, which is the only truth about what was emitted;
//! 4. [`subscription`]: following the history from a number on, without ever blocking it;
//! 5. [`memory`] and [`advanced`]: the two monitors, and [`metrics`], which the second adds;
//! 6. `sse` and [`routes`]: all of that over HTTP, with the page in `page.html`.
//!
//! Nothing here protects the machine: stage 3 shows an attack, it does not stop one.

pub mod service;

pub mod recorded;

mod log;
mod ring;

pub mod subscription;

pub mod advanced;
pub mod memory;
pub mod metrics;

mod checks;

mod routes;

mod page;
mod sse;

pub use advanced::AdvancedMonitor;
pub use log::{EventLogLimits, LogStats};
pub use memory::{InMemoryMonitor, MonitorOptions};
pub use recorded::{SequencedEvent, StoredEvent};
pub use routes::{StageInfo, routes};
pub use service::MonitoringService;
pub use subscription::{Delivery, Filter, Gap, SubscribeError, Subscription};
