//! What runs in a container: the image, the first process, and the file of the program.

use serde_json::Value;
use shared::profile::PYTHON;

use crate::artifacts::{MAX_ARTIFACT_BYTES, MAX_ARTIFACT_PATH_BYTES, MAX_ARTIFACTS, OUTPUT_DIR};

/// Source of `deliver`, which receives a program: for a sandbox that has another init.
pub const DELIVER_SOURCE: &str = include_str!("deliver.py");
/// What the program's interpreter executes before the program.
const PREPARATION: &str = concat!(include_str!("streams.py"), "\n\n", include_str!("prepare.py"));
/// The in-container init, without the call that starts it.
const INIT: &str = concat!(include_str!("deliver.py"), "\n\n", include_str!("init.py"));

/// What sends the files that a program has left.
const COLLECT: &str = include_str!("collect.py");

/// An environment of Python: another image, in which init is executed by the image's own Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonEnvironment {
    /// Its name, which a submission has as its profile.
    pub name: String,
    /// The name of its image in Docker.
    pub image: String,
    /// Variables that a program finds beside `HOME`.
    pub variables: Vec<(String, String)>,
}

/// What runs in a container.
#[derive(Debug, Clone)]
pub struct SandboxProfile {
    /// The image's content hash, so that the image stays the same when its name is moved.
    pub image: String,
    /// The interpreter's path in the image.
    pub interpreter: &'static str,
    /// The interpreter's arguments before the source of init.
    pub interpreter_args: &'static [&'static str],
    /// The source of init, which receives the program and starts it.
    pub init: String,
    /// The file name of the program, in its working directory.
    pub main_file: String,
    /// Variables that a program finds beside `HOME`, as a dictionary of Python.
    variables: String,
    /// Whether a program has a directory for files, which init sends when it has ended.
    pub keeps_output_files: bool,
}

impl SandboxProfile {
    /// Python programs in `image`.
    pub fn python(image: String) -> Self {
        Self {
            image,
            interpreter: "/usr/bin/python3",
            interpreter_args: &["-I", "-S", "-c"],
            init: format!("{INIT}\n\nstart({PREPARATION:?}, None, {{}})\n"),
            main_file: PYTHON.main_file.into_owned(),
            variables: "{}".to_owned(),
            keeps_output_files: false,
        }
    }

    /// Programs of `environment`, whose image has this content hash.
    pub fn of(environment: &PythonEnvironment, image: String) -> Self {
        let pairs = environment.variables.iter();
        let pairs = pairs.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        // A JSON object of texts is a dictionary of Python.
        let variables = Value::Object(pairs.collect()).to_string();
        let init = format!("{INIT}\n\nstart({PREPARATION:?}, None, {variables})\n");
        Self { init, variables, ..Self::python(image) }
    }

    /// The same, with a directory for files that outlive their program.
    #[must_use]
    pub fn with_output_files(self) -> Self {
        let bounds = format!("{MAX_ARTIFACTS}, {MAX_ARTIFACT_BYTES}, {MAX_ARTIFACT_PATH_BYTES}");
        let send = format!("lambda send: collect(send, {OUTPUT_DIR:?}, {bounds})");
        let init =
            format!("{INIT}\n\n{COLLECT}\n\nstart({PREPARATION:?}, {send}, {})\n", self.variables);
        Self { init, keeps_output_files: true, ..self }
    }

    /// The arguments of the first process, after the interpreter.
    pub fn args(&self) -> Vec<String> {
        let args = self.interpreter_args.iter().map(|&arg| arg.to_owned());
        args.chain([self.init.clone()]).collect()
    }
}
