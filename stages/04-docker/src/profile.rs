//! What runs in a container: the image, the first process, and the file of the program.

use shared::profile::PYTHON;

/// Source of the in-container init, without a call of its functions. A sandbox that has another init
/// calls `deliver` and `program` alone.
pub const INIT_SOURCE: &str = include_str!("init.py");
/// The in-container init: the source, and the calls that start it.
const INIT: &str = concat!(include_str!("init.py"), "\n\nprogram(start())\n");

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
    pub init: &'static str,
    /// The file name of the program, in its working directory.
    pub main_file: String,
}

impl SandboxProfile {
    /// Python programs in `image`.
    pub fn python(image: String) -> Self {
        Self {
            image,
            interpreter: "/usr/bin/python3",
            interpreter_args: &["-c"],
            init: INIT,
            main_file: PYTHON.main_file.into_owned(),
        }
    }

    /// The arguments of the first process, after the interpreter.
    pub fn args(&self) -> Vec<String> {
        let args = self.interpreter_args.iter().copied().chain([self.init]);
        args.map(str::to_owned).collect()
    }
}
