//! Times as integers of the database: nanoseconds since 1970.

use jiff::Timestamp;

pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

pub(crate) fn from_nanoseconds(time: i64) -> Timestamp {
    Timestamp::from_nanosecond(time.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}
