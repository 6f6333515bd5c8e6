//! Consistency checks: what makes the result of a matrix untrustworthy.

use anyhow::Result;

use super::Matrix;
use crate::attack::expectations::Expectations;
use crate::attack::probe::Group;
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::verdict::Verdict;

impl Matrix {
    /// What makes this matrix untrustworthy: a probe that escapes nowhere, without a test that
    /// shows that it can; an exception that is not needed; a stage that contains less than the one
    /// before; a group of which no probe escapes.
    ///
    /// # Errors
    ///
    /// When a cell is missing.
    pub fn inconsistencies(&self, exceptions: &Expectations) -> Result<Vec<String>> {
        let mut inconsistencies = Vec::new();
        for probe in &self.probes {
            let id = probe.header.id.as_str();
            let escapes = self.escapes(id)?;
            let open = escapes.iter().any(|stage| *stage < FIRST_SANDBOXED);
            match (open, exceptions.controls.iter().any(|control| control.probe == id)) {
                (false, false) => inconsistencies.push(format!(
                    "{id} escapes on no open stage: which test shows that it can? name it in \
                     controls.toml"
                )),
                (true, true) => inconsistencies.push(format!(
                    "{id} is in controls.toml and escapes on stage {:?}: remove it",
                    escapes.first()
                )),
                _ => {}
            }
            inconsistencies.extend(self.regressions(id)?);
        }
        for known_gap in &exceptions.known_gaps {
            let escapes = self.escapes(&known_gap.probe)?;
            let stages = self.columns.iter().map(|(stage, _)| stage.number);
            let idle = stages.filter(|stage| known_gap.on(*stage) && !escapes.contains(stage));
            inconsistencies.extend(idle.map(|stage| {
                format!("{} is contained on stage {stage}: known_gaps.toml", known_gap.probe)
            }));
        }
        for group in Group::ALL {
            let of_group = self.probes.iter().filter(|probe| probe.header.group() == *group);
            let mut escapes = Vec::new();
            for probe in of_group {
                escapes.extend(self.escapes(&probe.header.id)?);
            }
            if !escapes.iter().any(|stage| *stage < FIRST_SANDBOXED) {
                inconsistencies
                    .push(format!("no probe of the group {group} escapes on an open stage"));
            }
        }
        Ok(inconsistencies)
    }

    /// The stages on which this probe escapes.
    fn escapes(&self, id: &str) -> Result<Vec<u16>> {
        let mut stages = Vec::new();
        for (stage, _) in &self.columns {
            if *self.cell(id, stage.number)? == Verdict::Escaped {
                stages.push(stage.number);
            }
        }
        Ok(stages)
    }

    /// Sandboxed stages on which this probe escapes, although the stage before contains it.
    fn regressions(&self, id: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for pair in self.columns.windows(2) {
            let [(below, _), (above, _)] = pair else { continue };
            let contained = matches!(self.cell(id, below.number)?, Verdict::Contained(_));
            let escapes = *self.cell(id, above.number)? == Verdict::Escaped;
            if below.number >= FIRST_SANDBOXED && contained && escapes {
                found.push(format!("{id}: {} contains it, {} does not", below.name, above.name));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::expectations::{Control, KnownGap};
    use crate::attack::probe;
    use crate::attack::verdict::By;
    use crate::support::stages;

    /// All probes on stages 2, 4 and 5, where everything escapes on 2 and is contained above.
    fn matrix() -> Matrix {
        let probes = probe::all().unwrap();
        let column = |number| {
            let contained = Verdict::Contained(By::Refused);
            let verdict = if number < FIRST_SANDBOXED { Verdict::Escaped } else { contained };
            let ids = probes.iter().map(|probe| probe.header.id.clone());
            (stages::find(number).unwrap(), ids.map(|id| (id, verdict.clone())).collect())
        };
        let columns = [2, 4, 5].map(column).into();
        Matrix { probes, columns }
    }

    fn set(matrix: &mut Matrix, id: &str, stage: u16, verdict: Verdict) {
        let mut columns = matrix.columns.iter_mut();
        let (_, verdicts) = columns.find(|(it, _)| it.number == stage).unwrap();
        assert!(verdicts.insert(id.to_owned(), verdict).is_some());
    }

    const ID: &str = "network/tcp-out";

    #[test]
    fn a_consistent_matrix_has_no_inconsistencies() {
        assert_eq!(
            matrix().inconsistencies(&Expectations::default()).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_probe_that_escapes_nowhere_needs_a_control_and_no_other_does() {
        let mut matrix = matrix();
        let control = Control { probe: ID.to_owned(), reason: String::new() };
        let expectations = Expectations { controls: vec![control], ..Expectations::default() };
        assert!(matrix.inconsistencies(&expectations).unwrap()[0].contains("remove it"));
        set(&mut matrix, ID, 2, Verdict::Contained(By::NoNetwork));
        assert_eq!(matrix.inconsistencies(&expectations).unwrap(), Vec::<String>::new());
        assert!(
            matrix.inconsistencies(&Expectations::default()).unwrap()[0]
                .contains("which test shows that")
        );
    }

    #[test]
    fn a_stage_that_contains_less_than_the_one_below_is_named() {
        let mut matrix = matrix();
        set(&mut matrix, ID, 5, Verdict::Escaped);
        let inconsistencies = matrix.inconsistencies(&Expectations::default()).unwrap();
        assert_eq!(
            inconsistencies,
            [format!("{ID}: stage-04-docker contains it, stage-05-gvisor does not")]
        );
    }

    #[test]
    fn a_known_gap_that_is_contained_is_named() {
        let mut matrix = matrix();
        let (probe, reason) = (ID.to_owned(), String::new());
        let known_gap =
            |from| KnownGap { probe: probe.clone(), from, until: 4, reason: reason.clone() };
        let expectations =
            |from| Expectations { known_gaps: vec![known_gap(from)], ..Expectations::default() };
        let inconsistencies = matrix.inconsistencies(&expectations(2)).unwrap();
        assert_eq!(inconsistencies, [format!("{ID} is contained on stage 4: known_gaps.toml")]);
        set(&mut matrix, ID, 4, Verdict::Escaped);
        assert_eq!(matrix.inconsistencies(&expectations(2)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_group_of_which_nothing_escapes_is_named() {
        let mut matrix = matrix();
        for id in matrix.probes.iter().map(|probe| probe.header.id.clone()).collect::<Vec<_>>() {
            if id.starts_with("network/") {
                set(&mut matrix, &id, 2, Verdict::Contained(By::NoNetwork));
            }
        }
        let inconsistencies = matrix.inconsistencies(&Expectations::default()).unwrap();
        assert!(
            inconsistencies
                .contains(&"no probe of the group network escapes on an open stage".into())
        );
    }
}
