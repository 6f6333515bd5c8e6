//! Every exercise of the book: what an answer begins as fails the check, and the solution passes.

use ladder::exercises::catalog::{self, Exercise};
use ladder::exercises::check::{Judgement, check};
use ladder::support::stages;
use ladder::support::workspace::Workspace;

fn exercises() -> Vec<Exercise> {
    catalog::all(&Workspace::load().unwrap().root).unwrap()
}

#[test]
fn each_stage_has_two() {
    let exercises = exercises();
    for stage in stages::all().unwrap() {
        let number = format!("{:02}-", stage.number);
        let own = exercises.iter().filter(|exercise| exercise.id.starts_with(&number)).count();
        assert!(own >= 2, "{} has {own} exercises", stage.name);
    }
}

/// One test for each half of the course, so that two run at the same time.
fn starts_fail_and_solutions_pass(wanted: fn(&str) -> bool) {
    for exercise in exercises().into_iter().filter(|exercise| wanted(&exercise.id)) {
        let start = check(&exercise, &exercise.start_path()).unwrap();
        assert!(matches!(start, Judgement::NotYet(_)), "the start of {} passes", exercise.id);
        let solution = check(&exercise, &exercise.solution_path()).unwrap();
        assert_eq!(solution, Judgement::Passed, "the solution of {}", exercise.id);
    }
}

#[test]
fn the_starts_of_stages_1_to_5_fail_and_their_solutions_pass() {
    starts_fail_and_solutions_pass(|id| id < "06");
}

#[test]
fn the_starts_of_stages_6_to_10_fail_and_their_solutions_pass() {
    starts_fail_and_solutions_pass(|id| id >= "06");
}

/// A reader's first minutes: a list, a file to edit, a check, hints, and the solution only afterwards.
#[test]
fn a_reader_gets_a_file_a_verdict_and_hints() {
    let directory = tempfile::tempdir().unwrap();
    let ladder = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ladder"))
            .arg("exercise")
            .args(arguments)
            .arg("--directory")
            .arg(directory.path())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = ladder(&[]);
    assert!(code == Some(0) && text.contains("01-1") && text.contains("\n0 of "), "{text}");
    let (code, text) = ladder(&["99-1"]);
    assert!(code == Some(1) && text.contains("there is no exercise 99-1"), "{text}");
    let (code, text) = ladder(&["01-1", "--solution"]);
    assert!(code == Some(1) && text.contains("try it first"), "{text}");
    let (code, text) = ladder(&["01-1"]);
    assert!(code == Some(0) && text.contains("Your answer begins as"), "{text}");
    let (code, text) = ladder(&["01-1"]);
    assert!(code == Some(1) && text.contains("not yet: "), "{text}");
    let (_, first) = ladder(&["01-1", "--hint"]);
    let (_, second) = ladder(&["01-1", "--hint"]);
    assert!(first.contains("hint 1 of") && second.contains("hint 2 of"), "{first}{second}");
    assert!(second.starts_with(&first) && !first.contains("hint 2 of"), "{first}{second}");
    let all = (0..9).fold(String::new(), |_, _| ladder(&["01-1", "--hint"]).1);
    assert!(all.starts_with(&second) && all.contains("no more hints"), "{all}");
    let (code, solution) = ladder(&["01-1", "--solution"]);
    assert_eq!(code, Some(0), "{solution}");
    std::fs::write(directory.path().join("01-1.py"), solution).unwrap();
    let (code, text) = ladder(&["01-1"]);
    assert!(code == Some(0) && text.ends_with("passed\n"), "{text}");
    let (_, text) = ladder(&[]);
    assert!(text.contains("01-1  passed") && text.contains("\n1 of "), "{text}");
}
