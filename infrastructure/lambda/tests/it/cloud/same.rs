//! What holds on a machine holds for the function: the tests of stages 8 and 9, by the code that they have.

use harness::{Client, Method};
use serde::Deserialize;
use serde_json::Value;

use super::conversation::DIFFERENCES;
use super::site::Site;
use crate::clients;
use crate::invalid::{Invalid, bodies, invalid};

/// Two clients and an administrator of one function.
async fn tenants() -> (Site, [Client; 3]) {
    let site = Site::start(3).await;
    let mallory = site.client_with(&["submit", "read"]).1;
    let clients = [site.client.clone(), mallory, site.admin.clone()];
    (site, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_nothing_new() {
    let (site, [alice, mallory, _]) = tenants().await;
    let _guard = site.worker("worker");
    clients::a_repeated_request_makes_nothing_new(&alice, &mallory).await;
    clients::parallel_repetitions_make_one_evaluation(&alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_evaluation_does_not_exist() {
    let (site, [alice, mallory, admin]) = tenants().await;
    let _guard = site.worker("worker");
    clients::a_list_has_own_evaluations_only(&alice, &mallory, &admin).await;
    clients::another_keys_evaluation_does_not_exist(&alice, &mallory, &admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_request_is_named_to_those_who_may_make_it() {
    let (site, [alice, ..]) = tenants().await;
    let stranger = Client::new(site.front.url());
    clients::a_wrong_head_is_named_to_those_with_a_key(&alice, &stranger).await;
    // No stream is served, whatever else is wrong.
    let served = |one: &Invalid| !one.target.ends_with("/events");
    for one in invalid().into_iter().chain(bodies()).filter(served) {
        let Invalid { method, target, headers, body, .. } = &one;
        let mut request = alice.request(method.clone(), target).body(body.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, answer) = alice.send(request).await.parts();
        one.assert_answered(status, &answer);
    }
}

#[derive(Deserialize)]
struct Differences {
    not_served: Vec<NotServed>,
}

#[derive(Deserialize)]
struct NotServed {
    paths: Vec<String>,
}

/// Every operation of the contract is served, or it is listed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_listed() {
    let (_site, [_, _, admin]) = tenants().await;
    let listed: Differences = toml::from_str(DIFFERENCES).unwrap();
    let listed: Vec<_> = listed.not_served.into_iter().flat_map(|one| one.paths).collect();
    let contract = admin.get("/openapi.json").await.json();
    let (mut wrong, mut used) = (Vec::new(), std::collections::HashSet::new());
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            let Ok(method) = name.to_uppercase().parse::<Method>() else { continue };
            if operation.get("operationId").is_none() {
                continue;
            }
            let answer = admin.send(request(&admin, &contract, (method, path), item, operation));
            let (status, answer) = answer.await.parts();
            let operation = format!("{} {path}", name.to_uppercase());
            let rule = listed.iter().find(|rule| covers(rule, &operation));
            used.extend(rule);
            if (status == 501) != rule.is_some() {
                wrong.push(format!("{operation}: {status} {}", answer["detail"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> = listed.iter().filter(|rule| !used.contains(rule)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Whether a line is about an operation: `GET /status` is one, `/sandboxes` all with this path and below it.
fn covers(rule: &str, operation: &str) -> bool {
    let path = operation.split_once(' ').unwrap().1;
    let rest = path.strip_prefix(rule);
    rule == operation || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A request of that operation with a head that the contract accepts.
fn request(
    admin: &Client,
    contract: &Value,
    (method, path): (Method, &str),
    item: &Value,
    operation: &Value,
) -> harness::RequestBuilder {
    let resolved = |value: &Value| {
        let reference =
            value["$ref"].as_str().and_then(|at| contract.pointer(at.strip_prefix('#')?));
        reference.unwrap_or(value).clone()
    };
    let all = [&item["parameters"], &operation["parameters"]];
    let all = all.into_iter().filter_map(Value::as_array).flatten().map(resolved);
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in all {
        let name = parameter["name"].as_str().unwrap();
        let is_id = resolved(&parameter["schema"])["format"] == "uuid";
        let value = if is_id { "0197abcd-f012-7345-8678-9abcdef01234" } else { "1" };
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), value),
            Some("query") if parameter["required"] == true => query.push(format!("{name}={value}")),
            _ => {}
        }
    }
    let body = resolved(&operation["requestBody"]);
    let media = body["content"].as_object().and_then(|all| Some(all.keys().next()?.clone()));
    let request = admin.request(method, &format!("{path}?{}", query.join("&")));
    match media {
        Some(media) => request.header("content-type", media).body("{}"),
        None => request,
    }
}
