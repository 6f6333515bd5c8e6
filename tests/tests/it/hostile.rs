//! The short form of `just hostile-clients`: judged by answers and memory, not by time.

use assert_cmd::Command;
use serde_json::Value;

/// Two hundred of each kind at stage 8: every honest request is answered, and within two seconds, and
/// memory stays within its mark.
#[test]
fn hostile_clients_hurt_nobody() {
    let sizes =
        ["--unread", "300", "--held", "60", "--lists", "8", "--streams", "200", "--seconds", "2"];
    let output = Command::cargo_bin("ladder")
        .unwrap()
        .args(["hostile-clients", "--stage", "8", "--engine", "subprocess", "--json"])
        .args(sizes)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{report:#}");
    assert!(output.status.success(), "{report:#}\n{stderr}");
    let crowds = report.as_array().unwrap();
    assert_eq!(crowds.len(), 6);
    for crowd in crowds {
        assert!(crowd["answered"].as_u64().unwrap() >= 4, "{crowd:#}");
        assert!(crowd["max_ms"].as_f64().unwrap() < 2000.0, "{crowd:#}");
    }
    let all = &crowds[5];
    assert!(all["connections"].as_u64().unwrap() > 300, "{all:#}");
}
