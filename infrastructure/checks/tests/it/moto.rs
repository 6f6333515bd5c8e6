//! The stack, applied by the real provider to a server in the place of AWS, and what a change of the access plans.

use std::collections::BTreeMap;
use std::process::Command;

use infrastructure_checks::{Moto, Stack, infrastructure, text, tool};
use serde_json::Value;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

/// A copy that talks to `moto`, with the packages and settings that an operator gives.
fn stack(moto: &Moto) -> Stack {
    let stack = Stack::new().unwrap();
    std::fs::write(stack.path("moto_override.tf"), moto.provider_override()).unwrap();
    // moto lacks the subscribers of a budget's warnings, and returns an API's policy without the quoting of Amazon's, so that the
    // provider cannot read it.
    let budget = "for_each = { ACTUAL = 80, FORECASTED = 100 }";
    stack.replace("modules/observability/main.tf", budget, "for_each = {}").unwrap();
    let policy = "resource \"aws_api_gateway_rest_api_policy\" \"main\" {\n";
    let none = format!("{policy}  count = 0\n");
    stack.replace("modules/worker_api/main.tf", policy, &none).unwrap();
    let package = infrastructure().join("terraform/package.py");
    let (own, authorizer) = (stack.path("api.zip"), stack.path("authorizer.zip"));
    std::fs::write(stack.path("bootstrap"), "a program").unwrap();
    let mut python = Command::new("python3");
    text(python.arg(&package).arg(&own).arg(stack.path("bootstrap"))).unwrap();
    let source = infrastructure().join("terraform/modules/api/authorizer/authorizer.py");
    text(Command::new("python3").arg(&package).arg(&authorizer).arg(source)).unwrap();
    let settings = format!(
        "region = \"eu-central-1\"\nworker_ami = \"ami-12345678\"\napi_package = \"{}\"\n\
         authorizer_package = \"{}\"\nlambda_runtimes = {{ api = \"provided.al2\", authorizer = \"python3.8\" }}\n\
         worker_bundle = {{ key = \"releases/a.tar.gz\", sha256 = \"{}\" }}\n",
        own.display(),
        authorizer.display(),
        "ab".repeat(32)
    );
    std::fs::write(stack.path("terraform.tfvars"), settings).unwrap();
    stack
}

/// Calls Terraform with these arguments and an access mode.
fn run(stack: &Stack, arguments: &[&str], mode: &str) -> String {
    let mut command = stack.terraform(arguments);
    command.args(["-no-color", "-input=false", &format!("-var=access_mode={mode}")]);
    if mode == "public_ssh" {
        command.args(["-var=allowed_ssh_ip=203.0.113.7/32", &format!("-var=ssh_public_key={KEY}")]);
    }
    text(&mut command).unwrap()
}

/// What a plan does to each resource, without those that stay and those that moto reports otherwise than they are.
fn actions(stack: &Stack, plan: &str) -> BTreeMap<String, String> {
    let printed = text(&mut stack.terraform(&["show", "-json", plan])).unwrap();
    // A warning of a check follows on standard error.
    let mut values = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let plan = values.next().unwrap().unwrap();
    let changes = plan["resource_changes"].as_array().unwrap().clone();
    let actions = changes.iter().map(|change| {
        let actions: Vec<_> = change["change"]["actions"].as_array().unwrap().iter().collect();
        let actions: Vec<_> = actions.into_iter().map(|one| one.as_str().unwrap()).collect();
        (change["address"].as_str().unwrap().to_owned(), actions.join("+"))
    });
    let ignored = |(address, action): &(String, String)| {
        // moto returns the redrive policy with other white space.
        action == "no-op"
            || action == "read"
            || (action == "update" && address.starts_with("module.queue.aws_sqs_queue.tickets"))
    };
    actions.filter(|one| !ignored(one)).collect()
}

#[test]
fn it_is_applied_migrates_to_the_private_subnet_and_leaves_nothing() {
    let moto = Moto::start().unwrap();
    let stack = stack(&moto);
    run(&stack, &["apply", "-auto-approve"], "public_ssh");
    assert_queues(&moto);
    assert_user_data(&stack);
    let list = text(&mut stack.terraform(&["state", "list"])).unwrap();
    let count = list.lines().filter(|address| !address.contains("data.")).count();
    let page = std::fs::read_to_string(infrastructure().join("../book/src/cloud.md")).unwrap();
    let stated = format!("against moto, {count} resources");
    assert!(page.contains(&stated), "cloud.md: {stated}");

    // ANCHOR: migration
    // The migration: what has data stays, and of the network only the way to the internet goes.
    run(&stack, &["plan", "-out=private"], "private_ssm");
    let planned: Vec<_> = actions(&stack, "private")
        .into_iter()
        .map(|(address, action)| format!("{action} {address}"))
        .collect();
    assert_eq!(
        planned,
        [
            "delete module.access.aws_key_pair.ssh[0]",
            "delete module.network.aws_internet_gateway.main[0]",
            "delete module.network.aws_route.public[0]",
            // In place. Its new launch template makes it replace the machines, one after the other.
            "update module.worker.aws_autoscaling_group.worker",
            "update module.worker.aws_launch_template.worker",
            "update module.worker.aws_security_group.worker",
        ]
    );
    // ANCHOR_END: migration

    // Without the launch template a machine itself would be in the plan: there a key replaces it. Here another key
    // replaces the key pair, and nothing else that is in the plan.
    let mut other = stack.terraform(&["plan", "-out=other", "-no-color", "-input=false"]);
    let key = KEY.replace("IJdD7", "IJdD8");
    other.args(["-var=access_mode=public_ssh", "-var=allowed_ssh_ip=203.0.113.8/32"]);
    text(other.arg(format!("-var=ssh_public_key={key}"))).unwrap();
    let planned = actions(&stack, "other");
    assert_eq!(planned["module.access.aws_key_pair.ssh[0]"], "delete+create", "{planned:?}");
    assert_eq!(
        planned.values().filter(|action| action.contains("delete")).count(),
        1,
        "{planned:?}"
    );

    let printed = run(&stack, &["destroy", "-auto-approve"], "public_ssh");
    assert!(printed.contains("Destroy complete!"), "{printed}");
    let list = text(&mut stack.terraform(&["state", "list"])).unwrap();
    assert_eq!(list, "");
}

/// EC2's limit, before base64.
const MAX_USER_DATA_BYTES: usize = 16 << 10;

/// User data is a script that the shell accepts, with the whole installation in it, and not larger than EC2 allows.
fn assert_user_data(stack: &Stack) {
    let printed = text(&mut stack.terraform(&["show", "-json"])).unwrap();
    let state: Value = serde_json::from_str(&printed).unwrap();
    let modules = state["values"]["root_module"]["child_modules"].as_array().unwrap();
    let mut resources = modules.iter().flat_map(|module| module["resources"].as_array().unwrap());
    let template = resources.find(|one| one["type"] == "aws_launch_template").unwrap();
    let encoded = template["values"]["user_data"].as_str().unwrap();
    let file = stack.path("user-data");
    std::fs::write(stack.path("encoded"), encoded).unwrap();
    let decoded = text(Command::new("base64").arg("-d").arg(stack.path("encoded"))).unwrap();
    assert!(decoded.len() < MAX_USER_DATA_BYTES, "{} bytes", decoded.len());
    std::fs::write(&file, &decoded).unwrap();
    text(Command::new("bash").arg("-n").arg(&file)).unwrap();
    let install = infrastructure().join("terraform/modules/worker/install.sh");
    let install = std::fs::read_to_string(install).unwrap();
    assert!(decoded.contains(&format!("<<'INSTALL'\n{install}INSTALL\n")), "{decoded}");
    assert!(decoded.contains("\nexport REGION='eu-central-1'\n"), "{decoded}");
}

/// The queues are those that stage 10 looks for, with what it relies on.
fn assert_queues(moto: &Moto) {
    let script = format!(
        "import boto3, json\n\
         sqs = boto3.client('sqs', endpoint_url='{}', region_name='eu-central-1')\n\
         url = sqs.get_queue_url(QueueName='crucible-queue-python')['QueueUrl']\n\
         found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=['All'])['Attributes']\n\
         print(found['VisibilityTimeout'], json.loads(found['RedrivePolicy'])['deadLetterTargetArn'].split(':')[-1])",
        moto.url()
    );
    let printed = text(tool("python3").args(["-c", &script])).unwrap();
    assert_eq!(printed.trim(), "360 crucible-dead");
}
