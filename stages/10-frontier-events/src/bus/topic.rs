//! Which events a subscriber gets.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use shared::EventType;
use stage_03_monitoring::{Filter, SequencedEvent};
use uuid::Uuid;

/// Which events. As a text: `*`, `evaluation.*`, or the name of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// All of them.
    Everything,
    /// Those of one type.
    Type(EventType),
    /// Those whose type begins so, such as `evaluation.`.
    Prefix(Arc<str>),
    /// Those of one evaluation, up to its last.
    Evaluation(Uuid),
}

/// Why a text is no topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no event has the type {text:?}; give *, a prefix such as evaluation.*, or one of {known}")]
pub struct TopicError {
    text: String,
    known: String,
}

impl Topic {
    /// Whether an event belongs to it.
    pub fn matches(&self, event: &SequencedEvent) -> bool {
        let kind = &event.event.kind;
        match self {
            Self::Everything => true,
            Self::Type(wanted) => wanted == kind,
            Self::Prefix(prefix) => kind.as_str().starts_with(&**prefix),
            Self::Evaluation(id) => event.event.subject == Some(*id),
        }
    }

    /// What the log has to be read by.
    pub(super) fn filter(&self) -> Filter {
        match self {
            Self::Evaluation(id) => Filter::Evaluation(*id),
            _ => Filter::Everything,
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let is_known = |known: fn(&str, &str) -> bool, text: &str| {
            EventType::NAMED.iter().any(|kind| known(kind.as_str(), text))
        };
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Some(prefix) = text.strip_suffix('*')
            && prefix.ends_with('.')
            && is_known(|kind, prefix| kind.starts_with(prefix), prefix)
        {
            return Ok(Self::Prefix(prefix.into()));
        }
        if is_known(|kind, text| kind == text, text) {
            return Ok(Self::Type(text.into()));
        }
        let names: Vec<_> = EventType::NAMED.iter().map(EventType::as_str).collect();
        Err(TopicError { text: text.to_owned(), known: names.join(", ") })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Type(kind) => kind.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Evaluation(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_type_or_a_prefix_of_types_that_exist() {
        for text in ["*", "evaluation.*", "security.violation", "queue.*"] {
            assert_eq!(text.parse::<Topic>().unwrap().to_string(), text);
        }
        for text in
            ["", "evaluation", "evaluation*", "evaluation.complete", "nothing.*", "**", ".*"]
        {
            let error = text.parse::<Topic>().unwrap_err().to_string();
            assert!(error.contains("evaluation.completed"), "{error}");
        }
    }
}
