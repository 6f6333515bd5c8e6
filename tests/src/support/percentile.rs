//! Durations: percentiles, units and rates.

use std::time::Duration;

use serde::Serialize;

/// Latencies in milliseconds. Each percentile is one that was measured (nearest rank), never a mean
/// of two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The maximum.
    pub max: f64,
}

impl Latency {
    /// The percentiles of `samples`; None when there are none.
    pub fn of(samples: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<_> = samples.into_iter().collect();
        sorted.sort_unstable();
        let max = millis(*sorted.last()?);
        let rank = |percent| millis(nearest_rank(&sorted, percent));
        Some(Self { p50: rank(50), p90: rank(90), p95: rank(95), p99: rank(99), max })
    }
}

/// The smallest value that is not below `percent` % of the samples.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Milliseconds with two decimals: more would be noise.
pub fn millis(duration: Duration) -> f64 {
    hundredths(duration.as_secs_f64() * 1000.0)
}

/// The number with two decimals.
pub fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Milliseconds for a column of a table, with one decimal below a second.
pub fn column(millis: f64) -> String {
    if millis < 1000.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

/// `count` per second, with one decimal.
pub fn per_second(count: usize, elapsed: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    (count / elapsed.as_secs_f64().max(f64::EPSILON) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(testbed: impl Iterator<Item = u64>) -> Option<Latency> {
        Latency::of(testbed.map(Duration::from_millis))
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latency = of((1..=100).rev()).unwrap();
        let wanted = Latency { p50: 50.0, p90: 90.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(latency, wanted);
    }

    #[test]
    fn one_sample_is_every_percentile_and_none_is_none() {
        let latency = of(7..=7).unwrap();
        let wanted = Latency { p50: 7.0, p90: 7.0, p95: 7.0, p99: 7.0, max: 7.0 };
        assert_eq!(latency, wanted);
        assert_eq!(of(0..0), None);
    }

    #[test]
    fn a_column_stays_narrow() {
        assert_eq!([column(9.94), column(999.9), column(10_127.2)], ["9.9", "999.9", "10127"]);
    }

    #[test]
    fn rates_survive_an_instant() {
        assert!((per_second(30, Duration::from_secs(4)) - 7.5).abs() < 1e-9);
        assert!(per_second(1, Duration::ZERO).is_finite());
    }
}
