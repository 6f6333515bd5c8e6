//! What keeps a matrix from proving what it seems to.

use anyhow::Result;

use super::Matrix;
use crate::attack::expectations::Expectations;
use crate::attack::probe::Group;
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::verdict::Verdict;

impl Matrix {
    /// What keeps this matrix from proving what it seems to: a probe that is seen to escape nowhere
    /// and has no other proof that it could, an entry in a list of exceptions that is not needed, a
    /// stage that contains less than the one below it, a group of which nothing escapes.
    ///
    /// # Errors
    ///
    /// When a cell is missing.
    pub fn doubts(&self, exceptions: &Expectations) -> Result<Vec<String>> {
        let mut doubts = Vec::new();
        for probe in &self.probes {
            let id = probe.header.id.as_str();
            let escapes = self.escapes(id)?;
            let open = escapes.iter().any(|stage| *stage < FIRST_SANDBOXED);
            match (open, exceptions.controls.iter().any(|control| control.probe == id)) {
                (false, false) => doubts.push(format!(
                    "{id} escapes on no open stage: what proves that it could? say it in \
                     controls.toml"
                )),
                (true, true) => doubts.push(format!(
                    "{id} is in controls.toml and escapes on stage {:?}: take it out",
                    escapes.first()
                )),
                _ => {}
            }
            doubts.extend(self.fallen_back(id)?);
        }
        for known_gap in &exceptions.known_gaps {
            let escapes = self.escapes(&known_gap.probe)?;
            let stages = self.columns.iter().map(|(stage, _)| stage.number);
            let idle = stages.filter(|stage| known_gap.on(*stage) && !escapes.contains(stage));
            doubts.extend(idle.map(|stage| {
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
                doubts.push(format!("nothing of the group {group} escapes on an open stage"));
            }
        }
        Ok(doubts)
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

    /// Stages with walls where this probe escapes, although it does not on the stage below.
    fn fallen_back(&self, id: &str) -> Result<Vec<String>> {
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
    fn a_matrix_that_proves_what_it_says_leaves_no_doubt() {
        assert_eq!(matrix().doubts(&Expectations::default()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_probe_that_escapes_nowhere_needs_a_control_and_no_other_does() {
        let mut matrix = matrix();
        let control = Control { probe: ID.to_owned(), reason: String::new() };
        let expectations = Expectations { controls: vec![control], ..Expectations::default() };
        assert!(matrix.doubts(&expectations).unwrap()[0].contains("take it out"));
        set(&mut matrix, ID, 2, Verdict::Contained(By::NoNetwork));
        assert_eq!(matrix.doubts(&expectations).unwrap(), Vec::<String>::new());
        assert!(matrix.doubts(&Expectations::default()).unwrap()[0].contains("what proves that"));
    }

    #[test]
    fn a_stage_that_contains_less_than_the_one_below_is_named() {
        let mut matrix = matrix();
        set(&mut matrix, ID, 5, Verdict::Escaped);
        let doubts = matrix.doubts(&Expectations::default()).unwrap();
        assert_eq!(
            doubts,
            [format!("{ID}: stage-04-docker contains it, stage-05-gvisor does not")]
        );
    }

    #[test]
    fn a_residual_that_is_contained_is_named() {
        let mut matrix = matrix();
        let (probe, reason) = (ID.to_owned(), String::new());
        let known_gap =
            |from| KnownGap { probe: probe.clone(), from, until: 4, reason: reason.clone() };
        let expectations =
            |from| Expectations { known_gaps: vec![known_gap(from)], ..Expectations::default() };
        let doubts = matrix.doubts(&expectations(2)).unwrap();
        assert_eq!(doubts, [format!("{ID} is contained on stage 4: known_gaps.toml")]);
        set(&mut matrix, ID, 4, Verdict::Escaped);
        assert_eq!(matrix.doubts(&expectations(2)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_group_of_which_nothing_escapes_is_named() {
        let mut matrix = matrix();
        for id in matrix.probes.iter().map(|probe| probe.header.id.clone()).collect::<Vec<_>>() {
            if id.starts_with("network/") {
                set(&mut matrix, &id, 2, Verdict::Contained(By::NoNetwork));
            }
        }
        let doubts = matrix.doubts(&Expectations::default()).unwrap();
        assert!(doubts.contains(&"nothing of the group network escapes on an open stage".into()));
    }
}
