"""User data as Terraform renders it: the module's own template with the module's own expressions."""

import base64
import functools
import hashlib
import json
import os
import shutil
import subprocess

REGION = "eu-central-1"
API = "http://127.0.0.1:8010"
MOTO = "http://127.0.0.1:5000"
MODULE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../terraform/modules/worker")
TERRAFORM = "/opt/crucible/cloud"


def settings(bundle):
    with open(bundle, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    given = {
        "name": "crucible",
        "region": REGION,
        "api_url": API,
        "bucket": "releases-here",
        "bundle": {"key": f"releases/{os.path.basename(bundle)}", "sha256": digest},
        "visibility_seconds": 360,
        "longest_evaluation_seconds": 300,
    }
    # What user data does not depend on.
    other = {"size": {"desired": 1, "max": 1}, "ssh_key_name": None}
    other |= dict.fromkeys(["public", "internet", "spot"], False)
    other |= dict.fromkeys(["subnet_ids", "prefix_list_ids", "ssh_cidrs", "queue_arns"], [])
    names = ["ami", "instance_type", "vpc_id", "endpoint_group_id", "ssm_policy", "dead_queue_arn", "bucket_arn"]
    other |= dict.fromkeys([*names, "kms_key_arn"], "-")
    return other | given


@functools.cache
def user_data(directory, bundle):
    copy = os.path.join(directory, "module")
    environment = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": f"{TERRAFORM}/terraformrc", "HOME": directory}

    def terraform(*arguments, text=None):
        command = [f"{TERRAFORM}/bin/terraform", f"-chdir={copy}", *arguments]
        run = subprocess.run(command, env=environment, input=text, text=True, capture_output=True)
        assert run.returncode == 0, f"{command}: {run.stdout}{run.stderr}"
        return run.stdout

    if not os.path.exists(copy):
        shutil.copytree(MODULE, copy)
        terraform("init", "-no-color", "-input=false")
    with open(os.path.join(copy, "rehearsal.tfvars.json"), "w") as file:
        json.dump(settings(bundle), file)
    printed = terraform("console", "-var-file=rehearsal.tfvars.json", text="base64encode(local.user_data)\n")
    return base64.b64decode(json.loads(printed)).decode()
