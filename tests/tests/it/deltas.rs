//! The generated differences between the stages are those of today's sources, matrix and behaviour.
//! `just deltas` writes them; read the changes before you commit them.

use ladder::deltas::{self, Files};
use ladder::support::stages;
use ladder::support::workspace::Workspace;

fn assert_fresh(files: &Files) {
    assert!(!files.is_empty());
    let root = Workspace::load().unwrap().root;
    let stale = deltas::stale(&root, files).unwrap();
    assert!(stale.is_empty(), "`just deltas` writes these anew:\n{}", stale.join("\n"));
}

#[test]
fn wiring_and_containment_are_those_of_the_sources_and_the_matrix() {
    assert_fresh(&deltas::from_sources(&stages::all().unwrap()).unwrap());
}

#[test]
fn the_differences_of_behaviour_are_those_of_the_committed_transcripts() {
    let (root, stages) = (Workspace::load().unwrap().root, stages::all().unwrap());
    let transcripts = deltas::committed(&root, &stages).unwrap();
    assert_fresh(&deltas::from_transcripts(&stages, &transcripts).unwrap());
}

#[tokio::test]
async fn every_stage_behaves_as_in_its_transcript() {
    assert_fresh(&deltas::from_run(&stages::all().unwrap()).await.unwrap());
}

#[test]
fn no_generated_file_is_left_over() {
    let (root, stages) = (Workspace::load().unwrap().root, stages::all().unwrap());
    assert_eq!(deltas::surplus(&root, &stages).unwrap(), [""; 0]);
    // A file without its stage is reported.
    let fewer = &stages[..stages.len() - 1];
    assert!(deltas::surplus(&root, fewer).unwrap().len() > 4);
}

#[test]
fn a_changed_wiring_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut stages = stages::all().unwrap();
    let files = deltas::from_sources(&stages).unwrap();
    let number = stages[1].number;
    let source = std::fs::read_to_string(stages[1].dir.join("src/main.rs")).unwrap();
    stages[1].dir = dir.path().to_owned();
    std::fs::create_dir(dir.path().join("src")).unwrap();
    let changed = source.replace("components: vec![engine, queue]", "components: vec![engine]");
    assert_ne!(changed, source);
    std::fs::write(dir.path().join("src/main.rs"), changed).unwrap();
    let anew = deltas::from_sources(&stages).unwrap();
    let differing: Vec<_> = files.iter().filter(|(path, text)| anew[*path] != **text).collect();
    let named = |kind: &str| differing.iter().any(|(path, _)| path.ends_with(kind));
    assert!(named(&format!("{number:02}-wiring.md")), "{differing:?}");
    assert!(named(&format!("{:02}-wiring.md", number + 1)), "{differing:?}");
}

#[test]
fn a_changed_response_is_noticed() {
    let (root, stages) = (Workspace::load().unwrap().root, stages::all().unwrap());
    let mut transcripts = deltas::committed(&root, &stages).unwrap();
    let fresh = deltas::from_transcripts(&stages, &transcripts).unwrap();
    assert!(deltas::stale(&root, &fresh).unwrap().is_empty());
    // One header less, in one response of one stage.
    let step = &mut transcripts[1].steps;
    let step = step.iter_mut().find(|step| step.answer[0].starts_with("503")).unwrap();
    step.answer.retain(|line| !line.starts_with("retry-after"));
    let changed = deltas::from_transcripts(&stages, &transcripts).unwrap();
    let stale = deltas::stale(&root, &changed).unwrap();
    let number = stages[1].number;
    for name in [format!("tests/transcripts/{number:02}.txt"), format!("{number:02}-behaviour.md")]
    {
        assert!(stale.iter().any(|error| error.contains(&name)), "{name}: {stale:?}");
    }
}
