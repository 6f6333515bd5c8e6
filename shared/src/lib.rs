//! The vocabulary of Crucible: the nouns, the four traits and the shell that every stage shares.
//!
//! Read in this order; fifteen minutes are enough:
//!
//! 1. [`evaluation`]: what one run of one program is, and how it ended;
//! 2. [`submission`]: what a stranger may ask for, and within which bounds;
//! 3. [`engine`]: the trait of everything that runs a program, and [`output`], which bounds output;
//! 4. [`event`]: what can be told about a run while it happens;
//! 5. [`evaluations`]: the trait that stands between the outside (HTTP, command line) and a queue;
//! 6. [`component`]: how every part checks itself;
//! 7. [`http`] and [`cli`]: the shell round a stage.
//!
//! This crate knows nothing of Docker, storage or brokers, and has no list of stages. A type moves
//! here only when three stages need it.

pub mod evaluation;
pub mod submission;

pub mod engine;
pub mod output;

pub mod event;

pub mod evaluations;

pub mod component;

pub mod cli;
pub mod http;

pub use component::{Check, TestCase, TestableComponent};
pub use engine::{Engine, Job, Verdict};
pub use evaluation::{Evaluation, Evidence, Limits, Outcome, Output, SandboxInfo, Status, Usage};
pub use evaluations::{Evaluations, NotCancelled, Page, Query, QueueStats, Refused};
pub use event::{Event, EventSink, EventType};
pub use output::{OutputBuffer, OutputLimitReached, Stream};
pub use submission::{Bounds, Submission};

/// A boxed future that can cross threads: how the object-safe traits of this crate are asynchronous.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
