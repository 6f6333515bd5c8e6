//! `dead list`, `dead requeue` and `dead remove`.

use clap::Subcommand;
use jiff::Timestamp;
use shared::cli::{BuildError, Exit};

use super::{Broker, BrokerArgs, DeadLetter, QueueUrl, open};

/// Letters that one call looks at.
const MAX_LETTERS: usize = 10_000;

/// The commands of the dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List the dead letters of the broker: id, when, why, ticket
    List {
        /// How many, at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Publish the tickets of dead letters again
    ///
    /// A worker that receives one asks the API whether the evaluation still waits. What has ended meanwhile is not
    /// run again.
    Requeue {
        /// The ids of the letters, from `dead list`
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All letters that are tickets
        #[arg(long)]
        all: bool,
    },
    /// Remove dead letters, without another delivery
    ///
    /// What is no ticket can only be removed. The evaluation of a ticket that is removed still waits, and the API
    /// publishes another ticket for it: cancel the evaluation if no worker should get it.
    Remove {
        /// The ids of the letters, from `dead list`
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All letters, tickets or not
        #[arg(long)]
        all: bool,
    },
}

impl DeadCommand {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// When there is no broker, it cannot be used, or there is no such letter.
    pub async fn run(self, args: &BrokerArgs) -> Result<Exit, BuildError> {
        if args.queue == QueueUrl::Memory {
            let error = BuildError::new("dead letters are at a broker, and --queue memory is none");
            let error = error.with_hint("give the --queue of the API");
            return Ok(error.print(Exit::USAGE));
        }
        let broker = match open(&args.queue, &args.options()).await {
            Ok(broker) => broker,
            Err(error) => return Ok(BuildError::from(error).print(Exit::USAGE)),
        };
        match self {
            Self::List { limit } => {
                for letter in broker.dead_letters(limit).await? {
                    println!("{}", line(&letter));
                }
            }
            Self::Requeue { ids, all } => {
                let is_ticket = |letter: &DeadLetter| letter.ticket.is_some();
                let ids = if all { ids_of(&*broker, is_ticket).await? } else { ids };
                for id in &ids {
                    broker.requeue_dead(id).await?;
                    println!("{id} requeued");
                }
            }
            Self::Remove { ids, all } => {
                let ids = if all { ids_of(&*broker, |_| true).await? } else { ids };
                for id in &ids {
                    broker.remove_dead(id).await?;
                    println!("{id} removed");
                }
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// The ids of the letters that are wanted.
async fn ids_of(
    broker: &dyn Broker,
    is_wanted: impl Fn(&DeadLetter) -> bool,
) -> Result<Vec<String>, BuildError> {
    let letters = broker.dead_letters(MAX_LETTERS).await?;
    Ok(letters.into_iter().filter(is_wanted).map(|letter| letter.id).collect())
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter { id, ticket, reason, bytes, at } = letter;
    let at = at.and_then(|at| Timestamp::try_from(at).ok());
    let at = at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let what = match ticket {
        Some(ticket) => format!(
            "evaluation {}, attempt {}, environment {}",
            ticket.evaluation, ticket.attempt, ticket.environment
        ),
        None => format!("{bytes} bytes"),
    };
    format!("{id}  {at}  {reason}: {what}")
}
