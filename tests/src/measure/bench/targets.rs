//! The performance targets of each stage: ratios of what took turns, because a number of milliseconds
//! is right on one machine only. The unit of a machine is the time that a bare `python3` takes there.

use serde::Serialize;

use super::Measured;
use super::engines::FIRST_WITH_WARM_SANDBOXES;
use crate::support::percentile::hundredths;

/// How much any stage may add to its engine at the median, in times of a bare `python3`: compared
/// with the engine called directly, and in each run by the stage's own clock. The first is a
/// difference between two medians of about 300 ms, and may be missed by chance on a busy machine;
/// the second shows whether it was chance.
const MAX_OVERHEAD: f64 = 0.35;
/// How many times as long as the same container without a stage a run may take at the median.
const MAX_RATIO_TO_ANCHOR: f64 = 1.2;
/// Evaluations in a second with four clients, as a ratio to the anchor with four at once: the stage's
/// number, and the ratio.
const FOUR_CLIENTS: [(u16, f64); 3] = [(4, 0.75), (5, 0.75), (6, 2.0)];
/// The stages whose anchor is a container. There is no such target for a bare process.
const IN_CONTAINERS: std::ops::Range<u16> = 4..FIRST_WITH_WARM_SANDBOXES;
/// The latency of a stage with warm sandboxes, in times of a bare `python3`: p50 and p95.
const WARM: [f64; 2] = [1.5, 3.0];
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
    let mut targets = Vec::from(adds.map(|(what, added)| {
        let times = ratio(added, bench.bare_ms.p50);
        Target {
            text: format!("{name} adds at most {MAX_OVERHEAD} x a bare python3 to {what}"),
            measured: format!("{times:.2} x, {added:.1} ms"),
            met: times <= MAX_OVERHEAD,
        }
    }));
    if bench.stage >= FIRST_WITH_WARM_SANDBOXES {
        targets.extend(warm(bench));
    }
    if IN_CONTAINERS.contains(&bench.stage) {
        let times = ratio(bench.stage_ms.p50, bench.anchor_ms.p50);
        targets.push(Target {
            text: format!("{name} takes at most {MAX_RATIO_TO_ANCHOR} x the container by hand"),
            measured: format!("{times:.2} x"),
            met: times <= MAX_RATIO_TO_ANCHOR,
        });
    }
    if let Some((_, least)) = FOUR_CLIENTS.iter().find(|(stage, _)| *stage == bench.stage) {
        let rate = bench.four_clients_per_second;
        let times = ratio(rate, bench.anchor_four_per_second);
        targets.push(Target {
            text: format!("{name} ends at least {least} x as many as {} with four", bench.anchor),
            measured: format!("{times:.2} x, {rate:.1} /s"),
            met: times >= *least,
        });
    }
    targets
}

/// What the layers above the warm sandboxes may cost: milliseconds at the median, and evaluations with four clients
/// as a ratio. By what each adds to its engine and by a bare `python3`, which took turns with it: the two stages are
/// not measured at the same moment.
const ALL_LAYERS: (u16, u16) = (FIRST_WITH_WARM_SANDBOXES, 10);
const MAX_LAYERS_MS: f64 = 4.0;
const MIN_LAYERS_RATE: f64 = 0.9;

/// The targets of the last stage beside the first one with warm sandboxes, when both were measured.
pub(super) fn between(stages: &[Measured]) -> Vec<Target> {
    let find = |number| stages.iter().find(|bench| bench.stage == number);
    let (Some(first), Some(last)) = (find(ALL_LAYERS.0), find(ALL_LAYERS.1)) else {
        return Vec::new();
    };
    let added = hundredths(last.overhead_ms - first.overhead_ms);
    let rate = |bench: &Measured| bench.four_clients_per_second * bench.bare_ms.p50;
    let times = ratio(rate(last), rate(first));
    let (name, below) = (&last.name, &first.name);
    vec![
        Target {
            text: format!("{name} takes at most {MAX_LAYERS_MS} ms longer than {below}"),
            measured: format!("{added:.1} ms"),
            met: added <= MAX_LAYERS_MS,
        },
        Target {
            text: format!("{name} ends at least {MIN_LAYERS_RATE} x as many as {below} with four"),
            measured: format!("{times:.2} x"),
            met: times >= MIN_LAYERS_RATE,
        },
    ]
}

fn ratio(one: f64, other: f64) -> f64 {
    hundredths(one / other.max(f64::EPSILON))
}

/// The targets of a stage with warm sandboxes.
fn warm(bench: &Measured) -> [Target; 3] {
    let Measured { name, stage_ms, .. } = bench;
    let times = ratio(bench.anchor_ms.p50, stage_ms.p50);
    let [half, most] = [stage_ms.p50, stage_ms.p95].map(|time| ratio(time, bench.bare_ms.p50));
    let [p50, p95] = WARM;
    [
        Target {
            text: format!("{name} takes {p50} x a bare python3 at the median, {p95} x at p95"),
            measured: format!("{half:.2} x, {most:.2} x, {:.1} ms", stage_ms.p50),
            met: half <= p50 && most <= p95,
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
            bare_ms: at(14.0),
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
        assert_eq!(missed(&measured(4, 120.0, 4.9, 15.0)), [false; 4]);
        assert_eq!(missed(&measured(4, 120.0, 5.1, 15.0)), [true, false, false, false]);
        let around = Measured { around_engine_ms: 5.1, ..measured(4, 120.0, 4.9, 15.0) };
        assert_eq!(missed(&around), [false, true, false, false]);
        assert_eq!(missed(&measured(4, 121.0, 4.9, 15.0)), [false, false, true, false]);
        assert_eq!(missed(&measured(4, 120.0, 4.9, 14.8)), [false, false, false, true]);
        assert_eq!(missed(&measured(5, 120.0, 4.9, 15.0)), [false; 4]);
        assert_eq!(missed(&measured(2, 900.0, 1.0, 1.0)), [false; 2]);
        let warm = |stage_ms, docker_ms, cold, rate| {
            let bench = measured(6, stage_ms, 1.0, rate);
            missed(&Measured { anchor_ms: at(docker_ms), cold, ..bench })
        };
        let layers = |overhead_ms, rate| {
            let both = [measured(6, 18.0, 1.0, 50.0), measured(10, 20.0, overhead_ms, rate)];
            between(&both).iter().map(|target| !target.met).collect::<Vec<_>>()
        };
        assert_eq!(layers(5.0, 45.0), [false; 2]);
        assert_eq!(layers(5.1, 44.0), [true; 2]);
        assert_eq!(between(&[measured(6, 18.0, 1.0, 50.0)]).len(), 0);
        assert_eq!(warm(21.0, 315.0, 0, 40.0), [false; 6]);
        assert_eq!(warm(21.2, 400.0, 0, 40.0), [false, false, true, false, false, false]);
        assert_eq!(warm(20.0, 299.0, 0, 40.0), [false, false, false, true, false, false]);
        assert_eq!(warm(20.0, 300.0, 1, 40.0), [false, false, false, false, true, false]);
        assert_eq!(warm(20.0, 300.0, 0, 39.0), [false, false, false, false, false, true]);
    }
}
