//! A container as Docker 20.10 reports it, with one difference after the other.

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};

use super::*;

fn ordered() -> ContainerCreateBody {
    serde_json::from_value(json!({
        "Image": "sha256:01", "User": "7:7", "Cmd": ["-c", "init"], "Entrypoint": ["/usr/bin/python3"],
        "Env": ["PATH"], "Labels": { "crucible.owner": "me" }, "OpenStdin": true, "Hostname": "h",
        "HostConfig": {
            "NetworkMode": "none", "Runtime": "runc", "ReadonlyRootfs": true, "CapDrop": ["ALL"],
            "CapAdd": ["KILL"], "Memory": 64, "MemorySwap": 64, "NanoCpus": 1, "PidsLimit": 65,
            "SecurityOpt": ["no-new-privileges", "seccomp={}"], "IpcMode": "none",
            "Tmpfs": { "/tmp": "size=1" }, "MaskedPaths": ["/sys"], "ReadonlyPaths": [],
            "Ulimits": [{ "Name": "core", "Soft": 0, "Hard": 0 }],
            "RestartPolicy": { "Name": "no" }, "LogConfig": { "Type": "none" },
        },
    }))
    .unwrap()
}

/// What Docker makes of it: empty values, and its own defaults.
fn live() -> Value {
    let mut live = serde_json::to_value(ordered()).unwrap();
    let mut host = live["HostConfig"].take();
    live.as_object_mut().unwrap().remove("HostConfig");
    live["Env"] = json!(["PATH", "OF_THE_IMAGE=1"]);
    live["Labels"]["of-the-image"] = json!("1");
    live["Domainname"] = json!("");
    host["CapAdd"] = json!(["CAP_KILL"]);
    host["Binds"] = Value::Null;
    host["Devices"] = json!([]);
    host["ShmSize"] = json!(64 << 20);
    host["ConsoleSize"] = json!([0, 0]);
    host["Privileged"] = json!(false);
    host["RestartPolicy"]["MaximumRetryCount"] = json!(0);
    host["LogConfig"]["Config"] = json!({});
    json!({ "HostConfig": host, "Config": live, "Mounts": [],
            "NetworkSettings": { "Networks": { "none": {} } } })
}

fn found(live: Value) -> Option<String> {
    let live: ContainerInspectResponse = serde_json::from_value(live).unwrap();
    difference(&ordered(), &live)
}

#[test]
fn a_container_as_it_was_ordered_has_no_difference() {
    assert_eq!(found(live()), None);
}

#[test]
fn every_difference_is_found() {
    for (field, value) in [
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/Runtime", json!("runsc")),
        ("/HostConfig/ReadonlyRootfs", json!(false)),
        ("/HostConfig/CapDrop", Value::Null),
        ("/HostConfig/CapAdd", json!(["CAP_KILL", "CAP_SYS_ADMIN"])),
        ("/HostConfig/Memory", json!(0)),
        ("/HostConfig/MemorySwap", json!(-1)),
        ("/HostConfig/NanoCpus", json!(0)),
        ("/HostConfig/PidsLimit", json!(-1)),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges", "seccomp=unconfined"])),
        ("/HostConfig/IpcMode", json!("host")),
        ("/HostConfig/Tmpfs", json!({ "/tmp": "size=1", "/x": "" })),
        ("/HostConfig/MaskedPaths", json!([])),
        ("/HostConfig/ReadonlyPaths", json!(["/proc/sys"])),
        ("/HostConfig/Ulimits", json!([])),
        ("/HostConfig/LogConfig", json!({ "Type": "json-file", "Config": {} })),
        // What was not ordered at all.
        ("/HostConfig/Binds", json!(["/:/host"])),
        ("/HostConfig/Devices", json!([{ "PathOnHost": "/dev/kvm" }])),
        ("/HostConfig/Privileged", json!(true)),
        ("/HostConfig/PidMode", json!("host")),
        ("/HostConfig/UsernsMode", json!("host")),
        ("/HostConfig/CgroupParent", json!("/elsewhere")),
        ("/HostConfig/DeviceCgroupRules", json!(["a *:* rwm"])),
        ("/HostConfig/Sysctls", json!({ "net.ipv4.ip_forward": "1" })),
        ("/HostConfig/GroupAdd", json!(["docker"])),
        ("/HostConfig/ShmSize", json!(1 << 30)),
        ("/Config/User", json!("0:0")),
        ("/Config/Cmd", json!(["-c", "other"])),
        ("/Config/Entrypoint", json!(["/bin/sh"])),
        ("/Config/Image", json!("sha256:02")),
        ("/Config/Tty", json!(true)),
        ("/Config/Volumes", json!({ "/data": {} })),
        ("/Config/Env", json!([])),
        ("/Config/Labels", json!({})),
        ("/Mounts", json!([{ "Type": "bind", "Destination": "/host" }])),
        ("/NetworkSettings", json!({ "Networks": { "bridge": {} } })),
    ] {
        let mut live = live();
        let (parent, name) = field.rsplit_once('/').unwrap();
        live.pointer_mut(parent).unwrap()[name] = value;
        assert!(found(live).is_some(), "{field}");
    }
}
