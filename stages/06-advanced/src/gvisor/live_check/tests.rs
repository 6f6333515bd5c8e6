//! The comparison itself, on values and command lines.

use serde_json::json;

use super::*;

fn differing(mut expected: Value, mut found: Value) -> Vec<String> {
    normalize(&mut expected);
    normalize(&mut found);
    let mut paths = Vec::new();
    compare("", &expected, &found, &mut paths);
    paths
}

#[test]
fn what_runsc_fills_in_is_no_difference_and_everything_else_is() {
    let ordered = json!({
        "root": { "path": "/r", "readonly": true }, "annotations": {},
        "process": { "terminal": false, "capabilities": { "bounding": ["B", "A"] } },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
    });
    let loaded = json!({
        "root": { "path": "/r", "readonly": true },
        "process": { "capabilities": { "bounding": ["A", "B"] } },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "/bundle/proc" }],
    });
    assert_eq!(differing(ordered.clone(), loaded.clone()), [""; 0]);
    for (pointer, value, path) in [
        ("/root/readonly", json!(false), "root.readonly"),
        ("/root/path", json!("/"), "root.path"),
        ("/process/capabilities/bounding", json!(["A", "B", "C"]), "process.capabilities.bounding"),
        ("/mounts/0/type", json!("bind"), "mounts"),
        ("/process", json!({}), "process"),
    ] {
        let mut other = loaded.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(differing(ordered.clone(), other), [path]);
    }
    let mut more = loaded;
    more["hooks"] = json!({ "prestart": [{ "path": "/x" }] });
    assert_eq!(differing(ordered, more), ["hooks"]);
}

#[test]
fn another_user_inside_is_a_difference() {
    let differences = |lines: &[&str]| {
        let mut live = LiveSandbox { kernel: None, processes: 0, differences: Vec::new() };
        let table = format!("UID       PID       PPID\n{}\n", lines.join("\n"));
        live.check_user_table(&table, 1900);
        live.differences.len()
    };
    assert_eq!(differences(&["0  1  0", "1900  2  1"]), 0);
    for wrong in [&["0  1  0", "65534  2  1", "1900  3  1"], &["0  1  0", "1900  2  1", "0  3  2"]]
    {
        assert_eq!(differences(wrong), 1, "{wrong:?}");
    }
    for wrong in [&["0  1  0"][..], &["1900  1  0", "1900  2  1"], &[]] {
        assert_eq!(differences(wrong), 1, "{wrong:?}");
    }
}

#[test]
fn an_option_that_was_not_ordered_is_a_difference() {
    let paths = SandboxPaths::for_test();
    let ordered = OrderedSandbox {
        paths: &paths,
        cgroup: crate::gvisor::oci_spec::cgroup_limits(&stage_04_docker::PROBE_LIMITS),
        highest_memory_bytes: 0,
        runsc: Path::new("/runsc"),
        platform: RunscPlatform::Ptrace,
        arguments: &["--directfs=false"],
        state: Path::new("/state"),
        spec: Value::Null,
    };
    let differences = |line: &str| {
        let mut live = LiveSandbox { kernel: None, processes: 0, differences: Vec::new() };
        live.check_options(&ordered, "boot", line.split(' '));
        live.differences
    };
    let right = "--root=/state --network=none --directfs=false";
    assert_eq!(differences(&format!("{right} boot --bundle=/b id")), [""; 0]);
    assert_eq!(differences(&format!("{right} --platform=ptrace boot id")), [""; 0]);
    for line in [
        "--root=/state --directfs=false".to_owned(),
        "--root=/state --network=none".to_owned(),
        format!("{right} --network=host"),
        format!("--root=/other {right}"),
        format!("{right} --platform=kvm"),
        format!("{right} --TESTONLY-unsafe-nonroot=true"),
    ] {
        assert_eq!(differences(&format!("{line} boot id")).len(), 1, "{line}");
    }
}
