//! The authoriser of the HTTP API, with digests that it reads from moto.

use infrastructure_checks::{Moto, infrastructure, text, tool};

/// Calls the function as API Gateway does; each line is what is expected, and the header.
const SCRIPT: &str = r#"
import hashlib, json, os, sys
import boto3

sys.path.insert(0, sys.argv[1])
import authorizer

known = "crk_" + "a" * 33
ssm = boto3.client("ssm")

# Without the parameter every request is an error, which API Gateway takes for a refusal.
try:
    authorizer.handler({"headers": {"authorization": "Bearer " + known}}, None)
    raise SystemExit("answered without digests")
except ssm.exceptions.ParameterNotFound:
    pass

digests = {"alice": hashlib.sha256(known.encode()).hexdigest(), "old": "0" * 64}
ssm.put_parameter(Name=os.environ["KEYS_PARAMETER"], Type="SecureString", Value=json.dumps(digests))

def asked(headers):
    return authorizer.handler({"version": "2.0", "headers": headers}, None)

allowed = {"isAuthorized": True, "context": {"key": "alice"}}
refused = {"isAuthorized": False}
assert asked({"authorization": "Bearer " + known}) == allowed
assert asked({"authorization": "bearer " + known}) == allowed
for header in ["", "Bearer", "Bearer ", "Bearer " + known + " ", "Basic " + known, known, "Bearer crk_" + "b" * 33,
               "Bearer " + digests["old"], "Bearer " + digests["alice"], "Bearer crk_é"]:
    assert asked({"authorization": header}) == refused, header
assert asked({}) == refused
assert authorizer.handler({}, None) == refused

# A key that is removed counts for the lifetime of the cache, and no longer.
ssm.put_parameter(Name=os.environ["KEYS_PARAMETER"], Type="SecureString", Value="{}", Overwrite=True)
assert asked({"authorization": "Bearer " + known}) == allowed
authorizer._cached["at"] -= authorizer.CACHE_LIFETIME_SECONDS + 1
assert asked({"authorization": "Bearer " + known}) == refused
print("ok")
"#;

#[test]
fn a_known_key_is_let_through_and_nothing_else() {
    let moto = Moto::start().unwrap();
    let mut python = tool("python3");
    python
        .args(["-B", "-c", SCRIPT])
        .arg(infrastructure().join("terraform/modules/api/authorizer"));
    python.env("AWS_ENDPOINT_URL", moto.url()).env("AWS_DEFAULT_REGION", "eu-central-1");
    let printed = text(python.env("KEYS_PARAMETER", "/crucible/api-keys")).unwrap();
    assert_eq!(printed.trim(), "ok");
}
