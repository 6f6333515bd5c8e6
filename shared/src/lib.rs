//! The vocabulary of Crucible, and the shell round every stage. Reading it takes about 45 minutes.
//!
//! The vocabulary, in this order:
//!
//! 1. [`evaluation`]: one run of one program, and how it ended;
//! 2. [`submission`]: what a client may request, and within which bounds; [`profile`]: its language;
//! 3. [`engine`]: the trait of everything that runs a program, and [`output`], which bounds output;
//! 4. [`event`]: what happens to an evaluation, while it happens;
//! 5. [`evaluations`]: the trait between a front end and the queue, and [`context`], which goes with
//!    each call;
//! 6. [`component`]: how every component verifies itself.
//!
//! The shell: [`http`], [`cli`], and [`error`], which both print.
//!
//! This crate knows nothing of Docker, storage or brokers, and has no list of stages. A type moves
//! here only when three stages need it.

pub mod evaluation;
pub mod submission;

pub mod profile;

pub mod engine;
pub mod output;

pub mod event;

pub mod context;
pub mod evaluations;

pub mod component;

pub mod cli;
pub mod error;
pub mod http;
pub mod pointer;

pub use component::{TestCase, TestableComponent};
pub use context::RequestContext;
pub use engine::{Engine, Job, Verdict};
pub use error::{BoxError, BuildError, Hint};
pub use evaluation::{
    Artifact, Evaluation, Evidence, Limits, Outcome, Output, SandboxInfo, Status, Usage,
};
pub use evaluations::{Evaluations, EvaluationsError, Page, Query, QueueStats, Refusal};
pub use event::{Event, EventSink, EventType, NoopSink};
pub use output::{OutputBuffer, OutputLimitReached, Stream, harmless};
pub use profile::Profile;
pub use submission::{Bounds, Submission};

/// A boxed future that can cross threads: how the object-safe traits of this crate are asynchronous.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
