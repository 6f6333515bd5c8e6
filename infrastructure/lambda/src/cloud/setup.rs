//! The settings of the API over Amazon's storage, and its wiring.

use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, value_parser};
use futures_util::FutureExt as _;
use shared::cli::{BuildError, Settings, StageArgs as _};
use shared::http::{Endpoint, ServerOptions};
use shared::{Bounds, Hint};
use stage_08_openapi::{OpenApiValidatedApi, docs_routes};
use stage_09_frontier::Scope;
use stage_10_frontier_events::{EventsArgs, QueueUrl, contract, engine_name, open_broker};
use tokio_util::sync::CancellationToken;

use super::access::AccessControl;
use super::blobs::Blobs;
use super::evaluations::MAX_COUNTED;
use super::keys::Keys;
use super::served::Served;
use super::table::Table;
use super::{Cloud, CloudOptions, aws, routes};
use crate::{Scheduled, serve_with};

/// The most attempts that a submission may request, as in stage 09.
const MAX_ATTEMPTS: u32 = 10;

/// The API of stage 10 over DynamoDB, S3 and SQS, behind AWS Lambda
#[derive(Parser)]
#[command(name = "crucible-lambda", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    events: EventsArgs,
    /// Table of DynamoDB for evaluations and keys
    #[arg(long, global = true, value_name = "NAME", env = "CRUCIBLE_TABLE", default_value = "")]
    table: String,
    /// Bucket of S3 for what is larger than an item
    #[arg(long, global = true, value_name = "NAME", env = "CRUCIBLE_BUCKET", default_value = "")]
    bucket: String,
    /// Days after which evaluations are deleted
    #[arg(long, global = true, value_name = "DAYS", env = "CRUCIBLE_RETENTION_DAYS",
          default_value_t = 30, value_parser = value_parser!(u32).range(1..=3_650))]
    retention_days: u32,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What an operator does with the table, by the credentials of their own.
#[derive(Subcommand)]
enum Command {
    /// Make and revoke API keys in the table
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make a key and print it, once
    Create {
        /// A name for people
        #[arg(long)]
        name: String,
        /// What it may do (can be repeated)
        #[arg(long, value_enum, required = true)]
        scope: Vec<Scope>,
        /// Days after which it is not valid any more [default: it is valid until it is revoked]
        #[arg(long)]
        days: Option<u32>,
    },
    /// Refuse a key from now on
    Revoke {
        /// The id of the key
        id: String,
    },
}

/// A setting that is missing.
#[derive(Debug, thiserror::Error)]
enum SettingError {
    #[error("{0} is not set")]
    Missing(&'static str),
    #[error("the queue is {0}, and workers elsewhere need sqs://REGION")]
    Queue(QueueUrl),
    #[error("there is no key with the id {0}")]
    NoKey(String),
}

impl Hint for SettingError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("the Terraform module `api` sets it"),
            Self::Queue(_) => Some("set CRUCIBLE_QUEUE"),
            Self::NoKey(_) => None,
        }
    }
}

/// Serves events until the shutdown, or does what the arguments say.
///
/// # Errors
///
/// When a setting is missing, or Lambda's interface fails.
pub async fn run() -> Result<(), BuildError> {
    let command = EventsArgs::configure(Arguments::command())?;
    let arguments =
        Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    for (value, name) in
        [(&arguments.table, "CRUCIBLE_TABLE"), (&arguments.bucket, "CRUCIBLE_BUCKET")]
    {
        if value.is_empty() {
            return Err(SettingError::Missing(name).into());
        }
    }
    let (dynamodb, s3) = aws::clients().await;
    let table = Arc::new(Table::new(dynamodb, arguments.table.clone()));
    let keys = Keys::new(Arc::clone(&table));
    if let Some(Command::Keys { command }) = &arguments.command {
        return manage(&keys, command).await;
    }
    let blobs = Blobs::new(s3, arguments.bucket.clone());
    let cloud = Arc::new(arguments.cloud(table, blobs, keys).await?);
    let endpoint = arguments.endpoint(&cloud)?;
    let sweep: Scheduled = Arc::new(move || {
        let cloud = Arc::clone(&cloud);
        async move { Ok(serde_json::to_string(&cloud.sweep().await?)?) }.boxed()
    });
    let served = serve_with(Arc::new(endpoint), Some(sweep)).await;
    served.map_err(|error| BuildError::new(error.to_string()).context("Lambda's interface failed"))
}

async fn manage(keys: &Keys, command: &KeysCommand) -> Result<(), BuildError> {
    match command {
        KeysCommand::Create { name, scope, days } => {
            let (id, key) = keys.create(name, scope, *days).await?;
            shared::cli::eprint_line(&format!("the id of the key is {id}"));
            println!("{}", key.reveal());
        }
        KeysCommand::Revoke { id } => {
            if !keys.revoke(id).await? {
                return Err(SettingError::NoKey(id.clone()).into());
            }
        }
    }
    Ok(())
}

impl Arguments {
    async fn cloud(
        &self,
        table: Arc<Table>,
        blobs: Blobs,
        keys: Arc<Keys>,
    ) -> Result<Cloud, BuildError> {
        let Self { events, .. } = self;
        let queue = &events.broker.queue;
        if !matches!(queue, QueueUrl::Sqs { .. }) {
            return Err(SettingError::Queue(queue.clone()).into());
        }
        let broker = open_broker(queue, &events.broker.options()).await?;
        let hours = |hours: u32| Duration::from_hours(hours.into());
        let options = CloudOptions {
            lease: events.fleet.lease(),
            republish: events.fleet.republish(),
            retention: hours(24) * self.retention_days,
            idempotency: hours(events.frontier.access.idempotency_hours),
            engine: engine_name(events.frontier.contract.api.platform.engine.engine),
            capacity: usize::try_from(self.settings.queue_capacity)
                .unwrap_or(MAX_COUNTED)
                .min(MAX_COUNTED),
            bounds: Bounds { max_attempts: MAX_ATTEMPTS, ..self.settings.bounds() },
        };
        Ok(Cloud { table, blobs, broker, keys, options, depth: tokio::sync::Mutex::default() })
    }

    // ANCHOR: wiring
    fn endpoint(&self, cloud: &Arc<Cloud>) -> Result<Endpoint, BuildError> {
        let contract = Arc::new(contract(&cloud.options.bounds, &self.events)?);
        let router = routes::routes(cloud).merge(docs_routes(Arc::clone(&contract)));
        let strict = self.events.frontier.contract.strict_contract;
        let api = OpenApiValidatedApi::new(Served::new(router), contract, strict);
        let api = AccessControl::new(api, Arc::clone(cloud));
        let options = ServerOptions { any_host: true, ..self.settings.server_options() };
        Ok(Endpoint::new(Arc::new(api), options, CancellationToken::new()))
    }
    // ANCHOR_END: wiring
}
