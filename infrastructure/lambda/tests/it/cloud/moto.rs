//! moto in the place of AWS: as two processes.
//!
//! Its DynamoDB has no isolation between threads: a conditional write reads, compares and writes, and another thread
//! may write in between. So the one with the table has one thread, which is the isolation that DynamoDB has. SQS
//! cannot be in that one, because a request that waits for a message would stop all others.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

/// For a machine that is busy with other tests.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Set-up's moto with all services.
const PYTHON: &str = "/opt/crucible/cloud/bin/python3";
const SERVER: &str = "import sys\nfrom werkzeug.serving import run_simple\n\
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication as App, MotoRequestHandler, create_backend_app\n\
    run_simple('127.0.0.1', int(sys.argv[1]), App(create_backend_app), threaded=sys.argv[2] == 'threads', \
    request_handler=MotoRequestHandler)";

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const TABLE: &str = "evaluations";
pub(crate) const BUCKET: &str = "crucible-data";

/// One of the processes.
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    pub(crate) fn with_threads() -> Self {
        Self::start("threads")
    }

    pub(crate) fn with_one_thread() -> Self {
        Self::start("one")
    }

    fn start(threads: &str) -> Self {
        let port = harness::free_port();
        let child = Command::new(PYTHON)
            .args(["-c", SERVER, &port.to_string(), threads])
            .env("LOG_LEVEL", "ERROR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto is there: infrastructure/setup/setup.sh --with-tests");
        let moto = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < START_TIMEOUT, "moto does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The table and the bucket, as the Terraform module `storage` makes them.
    pub(crate) async fn create_storage(&self) {
        let client = self.dynamodb();
        let attribute = |name: &str, kind| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(kind)
                .build()
                .unwrap()
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        };
        let index = |name: &str, hash: &str, range: &str| {
            GlobalSecondaryIndex::builder()
                .index_name(name)
                .key_schema(key(hash, KeyType::Hash))
                .key_schema(key(range, KeyType::Range))
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
                .build()
                .unwrap()
        };
        let texts = ["pk", "sk", "queue", "owner", "kind", "id"];
        let mut request = client.create_table().table_name(TABLE);
        for name in texts {
            request = request.attribute_definitions(attribute(name, ScalarAttributeType::S));
        }
        request
            .attribute_definitions(attribute("due", ScalarAttributeType::N))
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .global_secondary_indexes(index("due", "queue", "due"))
            .global_secondary_indexes(index("owner", "owner", "id"))
            .global_secondary_indexes(index("kind", "kind", "id"))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        self.s3().create_bucket().bucket(BUCKET).send().await.unwrap();
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(self.url())
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(self.url())
            .force_path_style(true)
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
