//! The performance targets of each stage.

use serde::Serialize;

use super::Measured;
use super::engines::FIRST_WITH_WARM_SANDBOXES;
use crate::support::percentile::hundredths;

/// How much any stage may add to its engine at the median, in milliseconds: compared with the
/// engine called directly, and in each run by the stage's own clock. The first is a difference
/// between two medians of about 300 ms, and may be missed by chance on a busy machine; the second
/// shows whether it was chance.
const MAX_OVERHEAD_MS: f64 = 5.0;
/// How many times as long as the same container without a stage a run may take at the median.
const MAX_RATIO_TO_ANCHOR: f64 = 1.2;
/// Evaluations in a second with four clients on two processors: the stage's number, and how many.
const FOUR_CLIENTS: [(u16, f64); 3] = [(4, 15.0), (5, 7.0), (6, 11.0)];
/// The stages whose anchor is a container. There is no such target for a bare process.
const IN_CONTAINERS: std::ops::Range<u16> = 4..FIRST_WITH_WARM_SANDBOXES;
/// The latency of a stage with warm sandboxes, in milliseconds: p50 and p95.
const WARM_MS: [f64; 2] = [20.0, 40.0];
/// How many times as fast as `docker run` it has to be, at the median.
const MIN_SPEEDUP_OVER_DOCKER_RUN: f64 = 15.0;

/// One performance target.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// Its text.
    pub text: String,
    /// The measured value.
    pub measured: String,
    /// Whether it is met.
    pub met: bool,
}

/// All targets of this stage.
pub(super) fn of(bench: &Measured) -> Vec<Target> {
    let name = &bench.name;
    let adds = [("its engine", bench.overhead_ms), ("each run of it", bench.around_engine_ms)];
    let mut targets = Vec::from(adds.map(|(what, added)| Target {
        text: format!("{name} adds at most {MAX_OVERHEAD_MS} ms to {what}"),
        measured: format!("{added:.1} ms"),
        met: added <= MAX_OVERHEAD_MS,
    }));
    if bench.stage >= FIRST_WITH_WARM_SANDBOXES {
        targets.extend(warm(bench));
    }
    if IN_CONTAINERS.contains(&bench.stage) {
        let times = hundredths(bench.stage_ms.p50 / bench.anchor_ms.p50.max(f64::EPSILON));
        targets.push(Target {
            text: format!("{name} takes at most {MAX_RATIO_TO_ANCHOR} x the container by hand"),
            measured: format!("{times:.2} x"),
            met: times <= MAX_RATIO_TO_ANCHOR,
        });
    }
    if let Some((_, least)) = FOUR_CLIENTS.iter().find(|(stage, _)| *stage == bench.stage) {
        targets.push(Target {
            text: format!("{name} ends at least {least} a second with four clients"),
            measured: format!("{:.1} /s", bench.four_clients_per_second),
            met: bench.four_clients_per_second >= *least,
        });
    }
    targets
}

/// The targets of a stage with warm sandboxes.
fn warm(bench: &Measured) -> [Target; 3] {
    let Measured { name, stage_ms, .. } = bench;
    let times = hundredths(bench.anchor_ms.p50 / stage_ms.p50.max(f64::EPSILON));
    let [p50, p95] = WARM_MS;
    [
        Target {
            text: format!("{name} responds within {p50} ms at the median, {p95} ms at p95"),
            measured: format!("{:.1} ms, {:.1} ms", stage_ms.p50, stage_ms.p95),
            met: stage_ms.p50 <= p50 && stage_ms.p95 <= p95,
        },
        Target {
            text: format!("{name} is {MIN_SPEEDUP_OVER_DOCKER_RUN} x as fast as docker run"),
            measured: format!("{times:.1} x"),
            met: times >= MIN_SPEEDUP_OVER_DOCKER_RUN,
        },
        Target {
            text: format!("{name} has a sandbox waiting for every turn"),
            measured: format!("{} found none", bench.cold),
            met: bench.cold == 0,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::percentile::Latency;

    fn at(p50: f64) -> Latency {
        Latency { p50, p90: p50, p95: p50, p99: p50, max: p50 }
    }

    fn measured(stage: u16, stage_ms: f64, overhead_ms: f64, rate: f64) -> Measured {
        Measured {
            stage,
            name: "stage".to_owned(),
            anchor: "by hand".to_owned(),
            anchor_ms: at(100.0),
            engine_ms: at(stage_ms - overhead_ms),
            stage_ms: at(stage_ms),
            overhead_ms,
            around_engine_ms: 1.0,
            four_clients_per_second: rate,
            anchor_four_per_second: 20.0,
            cold: 0,
        }
    }

    fn missed(bench: &Measured) -> Vec<bool> {
        of(bench).iter().map(|target| !target.met).collect()
    }

    #[test]
    fn each_target_can_be_missed() {
        assert_eq!(missed(&measured(4, 120.0, 5.0, 15.0)), [false; 4]);
        assert_eq!(missed(&measured(4, 120.0, 5.1, 15.0)), [true, false, false, false]);
        let around = Measured { around_engine_ms: 5.1, ..measured(4, 120.0, 5.0, 15.0) };
        assert_eq!(missed(&around), [false, true, false, false]);
        assert_eq!(missed(&measured(4, 121.0, 5.0, 15.0)), [false, false, true, false]);
        assert_eq!(missed(&measured(4, 120.0, 5.0, 14.9)), [false, false, false, true]);
        assert_eq!(missed(&measured(5, 120.0, 5.0, 7.0)), [false; 4]);
        assert_eq!(missed(&measured(2, 900.0, 1.0, 1.0)), [false; 2]);
        let warm = |stage_ms, docker_ms, cold, rate| {
            let bench = measured(6, stage_ms, 1.0, rate);
            missed(&Measured { anchor_ms: at(docker_ms), cold, ..bench })
        };
        assert_eq!(warm(20.0, 300.0, 0, 11.0), [false; 6]);
        assert_eq!(warm(20.1, 400.0, 0, 11.0), [false, false, true, false, false, false]);
        assert_eq!(warm(20.0, 299.0, 0, 11.0), [false, false, false, true, false, false]);
        assert_eq!(warm(20.0, 300.0, 1, 11.0), [false, false, false, false, true, false]);
        assert_eq!(warm(20.0, 300.0, 0, 10.9), [false, false, false, false, false, true]);
    }
}
