//! What runs in a container: the image, the first process, and the file of the program.

use shared::profile::PYTHON;

/// Source of `deliver`, which receives a program, and of `program`, which becomes it: for a sandbox
/// that has another init.
pub const INIT_SOURCE: &str =
    concat!(include_str!("deliver.py"), "\n\n", include_str!("program.py"));
/// Source of `send_output_at_once`, which replaces the output streams of a Python interpreter.
pub const STREAMS_SOURCE: &str = include_str!("streams.py");
/// What the program's interpreter executes before the program.
const PREPARATION: &str = concat!(include_str!("streams.py"), "\n\n", include_str!("prepare.py"));
/// The in-container init, without the call that starts it.
const INIT: &str = concat!(include_str!("deliver.py"), "\n\n", include_str!("init.py"));

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
}

impl SandboxProfile {
    /// Python programs in `image`.
    pub fn python(image: String) -> Self {
        Self {
            image,
            interpreter: "/usr/bin/python3",
            interpreter_args: &["-I", "-S", "-c"],
            init: format!("{INIT}\n\nstart({PREPARATION:?})\n"),
            main_file: PYTHON.main_file.into_owned(),
        }
    }

    /// The arguments of the first process, after the interpreter.
    pub fn args(&self) -> Vec<String> {
        let args = self.interpreter_args.iter().map(|&arg| arg.to_owned());
        args.chain([self.init.clone()]).collect()
    }
}
