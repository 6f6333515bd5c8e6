//! The stack, without any server: its format, its sense, its properties, and that each property can fail.

use std::collections::BTreeSet;

use infrastructure_checks::{
    BATCHES, Failures, Stack, expected, infrastructure, mutations, of_batch, text, tool,
};

/// The tests of single modules.
const MODULES: [&str; 8] =
    ["access", "api", "network", "observability", "queue", "storage", "worker", "worker_api"];

fn files(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("tests/{name}.tftest.hcl")).collect()
}

#[test]
fn the_files_are_formatted() {
    let directory = infrastructure().join("terraform");
    text(tool("terraform").args(["fmt", "-check", "-diff", "-recursive"]).arg(directory)).unwrap();
}

#[test]
fn the_stack_is_valid_and_has_its_properties() {
    let stack = Stack::new().unwrap();
    text(&mut stack.terraform(&["validate", "-no-color"])).unwrap();
    let failures = stack.test(&[files(&MODULES), files(&["root"])].concat()).unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    // An argument that the provider does not have is found.
    stack.replace("modules/queue/main.tf", "receive_wait_time_seconds", "receive_wait").unwrap();
    let error = text(&mut stack.terraform(&["validate", "-no-color"])).unwrap_err().to_string();
    assert!(error.contains("\"receive_wait\" is not expected here"), "{error}");
}

/// Applies a batch after the other, and compares what fails with what has to.
fn break_properties(batches: impl Iterator<Item = u32>) {
    let all = mutations().unwrap();
    let stack = Stack::new().unwrap();
    for batch in batches {
        let mut former = Vec::new();
        for mutation in of_batch(&all, batch) {
            let text = stack.replace(&mutation.file, &mutation.find, &mutation.replace).unwrap();
            former.push((&mutation.file, text));
        }
        let failures = stack.test(&files(&MODULES)).unwrap();
        assert_eq!(failures, expected(&all, batch), "batch {batch}");
        for (file, text) in former.into_iter().rev() {
            std::fs::write(stack.path(file), text).unwrap();
        }
    }
}

#[test]
fn each_property_can_be_broken_by_its_change_alone_first_half() {
    break_properties(0..BATCHES / 2);
}

#[test]
fn each_property_can_be_broken_by_its_change_alone_second_half() {
    break_properties(BATCHES / 2..BATCHES);
}

#[test]
fn each_property_has_a_change() {
    let mut properties = BTreeSet::new();
    for file in files(&MODULES) {
        let text = std::fs::read_to_string(infrastructure().join("terraform").join(file)).unwrap();
        let messages =
            text.lines().filter_map(|line| line.trim().strip_prefix("error_message = \""));
        properties.extend(messages.map(|text| text.split(':').next().unwrap().to_owned()));
        // A run that expects a failure is named in the place of a message.
        let runs: Vec<_> = text.split("\nrun \"").skip(1).collect();
        let refusing = runs.iter().filter(|run| run.contains("expect_failures"));
        properties.extend(refusing.map(|run| run.split('"').next().unwrap().to_owned()));
    }
    let changes: BTreeSet<_> = mutations().unwrap().into_iter().map(|one| one.property).collect();
    assert_eq!(changes, properties);
    let page = infrastructure().join("../book/src/cloud.md");
    let stated = format!("There are {} properties", properties.len());
    assert!(std::fs::read_to_string(page).unwrap().contains(&stated), "cloud.md: {stated}");
}

/// The variables alone, without resources and provider: twenty plans of the whole stack would take longer. Each run is
/// in a file of its own, because one that is not refused ends its file.
fn variables() -> (Stack, Failures) {
    let stack = Stack::of(|name| name == "variables.tf").unwrap();
    let tests = infrastructure().join("terraform/tests/variables.tftest.hcl");
    let tests = std::fs::read_to_string(tests).unwrap();
    let (head, runs) = tests.split_once("\nrun \"").unwrap();
    let valid = &head[head.find("variables {").unwrap()..];
    std::fs::create_dir(stack.path("tests")).unwrap();
    let mut names = Failures::new();
    for run in runs.split("\nrun \"") {
        let name = run.split('"').next().unwrap();
        let file = stack.path(&format!("tests/{name}.tftest.hcl"));
        std::fs::write(file, format!("{valid}\nrun \"{run}")).unwrap();
        names.insert(name.to_owned());
    }
    stack.init().unwrap();
    (stack, names)
}

#[test]
fn the_variables_refuse_what_they_say() {
    let (stack, names) = variables();
    let failures = stack.test(&[]).unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    let page = std::fs::read_to_string(infrastructure().join("../book/src/cloud.md")).unwrap();
    let refusing =
        std::fs::read_to_string(infrastructure().join("terraform/tests/variables.tftest.hcl"));
    let count = refusing.unwrap().matches("expect_failures").count();
    assert!(
        page.contains(&format!("{count} values that a variable has to refuse")),
        "cloud.md: {count}"
    );
    // Without their conditions they refuse nothing.
    let text = std::fs::read_to_string(stack.path("variables.tf")).unwrap();
    let mut open = String::new();
    for variable in text.split_inclusive("\n}\n") {
        let Some((head, _)) = variable.split_once("\n  validation {\n") else {
            open += variable;
            continue;
        };
        open += head;
        open += "\n}\n";
    }
    std::fs::write(stack.path("variables.tf"), open).unwrap();
    assert_eq!(stack.test(&[]).unwrap(), names);
}
