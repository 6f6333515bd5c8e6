//! The objects for Kubernetes: rendered, compared with its schemas, and with policies, each of which can fail.

use std::fs;
use std::path::Path;

use infrastructure_checks::{infrastructure, text, tool};
use serde_json::{Value, json};

const OVERLAYS: [&str; 2] = ["base", "gvisor"];

/// A file with what an overlay renders to.
fn rendered(overlay: &str, directory: &Path) -> std::path::PathBuf {
    let source = infrastructure().join("kubernetes").join(overlay);
    let path = directory.join(format!("{overlay}.yaml"));
    fs::write(&path, text(tool("kubectl").arg("kustomize").arg(source)).unwrap()).unwrap();
    path
}

/// The objects of a file.
fn objects(path: &Path) -> Vec<Value> {
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_str(&text(tool("python3").args(["-c", script]).arg(path)).unwrap()).unwrap()
}

fn validate(path: &Path) -> anyhow::Result<String> {
    text(tool("kubernetes-validate").args(["-k", "1.37", "--strict"]).arg(path))
}

#[test]
fn the_objects_fit_the_schemas() {
    let directory = tempfile::tempdir().unwrap();
    for overlay in OVERLAYS {
        let path = rendered(overlay, directory.path());
        validate(&path).unwrap();
        let misspelt =
            fs::read_to_string(&path).unwrap().replace("maxUnavailable:", "maxUnavailableX:");
        fs::write(&path, misspelt).unwrap();
        assert!(validate(&path).unwrap_err().to_string().contains("maxUnavailableX"));
    }
}

#[test]
fn checkovs_policies_hold() {
    let directory = tempfile::tempdir().unwrap();
    let path = rendered("gvisor", directory.path());
    let mut command = tool("checkov");
    command.args(["--framework", "kubernetes", "--skip-download", "--compact", "-o", "json", "-f"]);
    let output = command.arg(&path).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = result["results"]["failed_checks"].as_array().unwrap();
    let failed: Vec<_> =
        failed.iter().map(|one| format!("{} {}", one["check_id"], one["resource"])).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(result["summary"]["passed"].as_u64().unwrap() > 150, "{}", result["summary"]);
}

/// The pod of an object that has one.
fn pod(object: &Value) -> Option<&Value> {
    object.pointer("/spec/template/spec")
}

fn is(object: &Value, kind: &str, namespace: &str) -> bool {
    object["kind"] == kind && object["metadata"]["namespace"] == namespace
}

/// What the page says, and does not hold.
fn violations(objects: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for namespace in ["crucible", "crucible-workers"] {
        let of =
            |kind: &str| objects.iter().filter(|one| is(one, kind, namespace)).collect::<Vec<_>>();
        let denied = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
        expect(
            of("NetworkPolicy").iter().any(|one| one["spec"] == denied),
            format!("{namespace}: default deny"),
        );
        expect(of("ResourceQuota").len() == 1, format!("{namespace}: quota"));
        expect(of("PodDisruptionBudget").len() == 1, format!("{namespace}: disruption budget"));
        for egress in of("NetworkPolicy")
            .iter()
            .flat_map(|one| one["spec"]["egress"].as_array().into_iter().flatten())
        {
            let named = egress["to"]
                .as_array()
                .is_some_and(|to| to.iter().all(|one| one.get("namespaceSelector").is_some()));
            expect(
                named && egress.get("ports").is_some(),
                format!("{namespace}: the way out is named"),
            );
        }
    }
    let workers = objects.iter().find(|one| {
        is(one, "NetworkPolicy", "crucible-workers") && one["metadata"]["name"] == "worker"
    });
    expect(
        workers.is_some_and(|one| one["spec"].get("ingress").is_none()),
        "nothing connects to a worker".to_owned(),
    );
    let enforced = objects
        .iter()
        .find(|one| one["kind"] == "Namespace" && one["metadata"]["name"] == "crucible");
    let label =
        enforced.map(|one| &one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]);
    expect(label == Some(&json!("restricted")), "Pod Security of the API".to_owned());
    for object in objects {
        let Some(pod) = pod(object) else { continue };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let container = &pod["containers"][0];
        expect(pod["automountServiceAccountToken"] == json!(false), format!("{name}: no token"));
        expect(
            container["image"].as_str().is_some_and(|image| image.contains("@sha256:")),
            format!("{name}: image by digest"),
        );
        expect(container["resources"]["limits"]["memory"].is_string(), format!("{name}: limits"));
        expect(container.get("startupProbe").is_some(), format!("{name}: probe at its start"));
        if object["metadata"]["namespace"] == "crucible" {
            expect(is_restricted(pod), format!("{name}: restricted"));
        } else {
            expect(
                pod["nodeSelector"].is_object() && pod["tolerations"].is_array(),
                format!("{name}: nodes of its own"),
            );
            let doctor =
                json!(["/usr/bin/stage-10-frontier-events", "doctor", "--engine", "gvisor"]);
            expect(
                container["startupProbe"]["exec"]["command"] == doctor,
                format!("{name}: proof of gVisor"),
            );
        }
    }
    found
}

/// Kubernetes' profile "restricted", as far as these pods use what it is about.
fn is_restricted(pod: &Value) -> bool {
    let allowed = ["secret", "emptyDir", "persistentVolumeClaim", "configMap", "projected"];
    let volumes = pod["volumes"].as_array().cloned().unwrap_or_default();
    let volumes = volumes.iter().all(|one| {
        one.as_object().is_some_and(|one| {
            one.keys().all(|key| key == "name" || allowed.contains(&key.as_str()))
        })
    });
    let host = ["hostNetwork", "hostPID", "hostIPC"].iter().all(|name| pod.get(name).is_none());
    let context = &pod["securityContext"];
    let own = pod["containers"].as_array().cloned().unwrap_or_default();
    let containers = own.iter().map(|one| &one["securityContext"]).all(|one| {
        one["allowPrivilegeEscalation"] == json!(false)
            && one["capabilities"] == json!({"drop": ["ALL"]})
            && one.get("privileged").is_none()
    });
    volumes
        && host
        && containers
        && context["runAsNonRoot"] == json!(true)
        && context["seccompProfile"]["type"] == "RuntimeDefault"
}

/// Text of the rendered file, what is there instead, and what that breaks.
const CHANGES: [(&str, &str, &str); 11] = [
    ("enforce: restricted", "enforce: baseline", "Pod Security of the API"),
    ("  podSelector: {}", "  podSelector: {matchLabels: {a: b}}", "crucible: default deny"),
    ("kind: ResourceQuota", "kind: LimitRange", "crucible: quota"),
    ("kind: PodDisruptionBudget", "kind: LimitRange", "crucible: disruption budget"),
    ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "api: no token"),
    ("@sha256:", ":latest", "api: image by digest"),
    ("runAsNonRoot: true", "runAsNonRoot: false", "api: restricted"),
    ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "api: restricted"),
    ("startupProbe:", "lifecycle:", "api: probe at its start"),
    ("nodeSelector:", "affinity:", "worker: nodes of its own"),
    ("namespaceSelector:", "ipBlock:", "crucible: the way out is named"),
];

#[test]
fn the_page_is_true_and_each_line_of_it_can_fail() {
    let directory = tempfile::tempdir().unwrap();
    for overlay in OVERLAYS {
        let path = rendered(overlay, directory.path());
        assert_eq!(violations(&objects(&path)), Vec::<String>::new(), "{overlay}");
    }
    let path = directory.path().join("base.yaml");
    let text = fs::read_to_string(&path).unwrap();
    for (find, replace, broken) in CHANGES {
        assert!(text.contains(find), "{find}");
        fs::write(&path, text.replace(find, replace)).unwrap();
        let found = violations(&objects(&path));
        assert!(found.iter().any(|one| one == broken), "{find}: {found:?}");
    }
}

#[test]
fn with_gvisor_the_api_is_in_a_sandbox_and_the_worker_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let objects = objects(&rendered("gvisor", directory.path()));
    let class = |name: &str| {
        let object =
            objects.iter().find(|one| one["metadata"]["name"] == name && pod(one).is_some());
        object.and_then(pod).and_then(|pod| pod.get("runtimeClassName")).cloned()
    };
    assert_eq!(class("api"), Some(json!("gvisor")));
    assert_eq!(class("worker"), None);
    assert!(objects.iter().any(|one| one["kind"] == "RuntimeClass" && one["handler"] == "runsc"));
}
