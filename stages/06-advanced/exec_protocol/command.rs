//! What is executed, and what counts where a command does not say: encoded as counted bytes.
//!
//! All text is bytes, as it is for the system's calls; none contains a NUL.

/// What counts for a sandbox's executions where their commands do not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Defaults {
    /// A name, a uid or uid:gid.
    pub(crate) user: Vec<u8>,
    /// The working directory; relative ones are relative to it.
    pub(crate) cwd: Vec<u8>,
    /// Variables of every execution.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether anything is executed as root.
    pub(crate) allows_root: bool,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Command {
    /// The supervisor's own program, as a file tool, instead of `argv[0]`.
    pub(crate) is_file_tool: bool,
    /// The program and its arguments; never empty.
    pub(crate) argv: Vec<Vec<u8>>,
    /// Beside those of the sandbox, before which they count.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) user: Option<Vec<u8>>,
}

impl Defaults {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = vec![u8::from(self.allows_root)];
        put(&mut to, &self.user);
        put(&mut to, &self.cwd);
        put_pairs(&mut to, &self.env);
        to
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let allows_root = take_flag(from)?;
        let (user, cwd, env) = (take(from)?, take(from)?, take_pairs(from)?);
        from.is_empty().then_some(Self { user, cwd, env, allows_root })
    }
}

impl Command {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = vec![u8::from(self.is_file_tool)];
        to.extend(count(self.argv.len()));
        self.argv.iter().for_each(|argument| put(&mut to, argument));
        put_pairs(&mut to, &self.env);
        for optional in [&self.cwd, &self.user] {
            to.push(u8::from(optional.is_some()));
            if let Some(text) = optional {
                put(&mut to, text);
            }
        }
        to
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let is_file_tool = take_flag(from)?;
        let arguments = take_count(from)?;
        let argv: Option<Vec<_>> = (0..arguments).map(|_| take(from)).collect();
        let argv = argv.filter(|argv| !argv.is_empty())?;
        let env = take_pairs(from)?;
        let optional =
            |from: &mut &[u8]| Some(if take_flag(from)? { Some(take(from)?) } else { None });
        let (cwd, user) = (optional(from)?, optional(from)?);
        from.is_empty().then_some(Self { is_file_tool, argv, env, cwd, user })
    }
}

fn count(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn put(to: &mut Vec<u8>, text: &[u8]) {
    to.extend(count(text.len()));
    to.extend_from_slice(text);
}

fn put_pairs(to: &mut Vec<u8>, pairs: &[(Vec<u8>, Vec<u8>)]) {
    to.extend(count(pairs.len()));
    for (name, value) in pairs {
        put(to, name);
        put(to, value);
    }
}

fn take_flag(from: &mut &[u8]) -> Option<bool> {
    let (flag, rest) = from.split_first()?;
    *from = rest;
    (*flag <= 1).then_some(*flag == 1)
}

fn take_count(from: &mut &[u8]) -> Option<u32> {
    let (head, rest) = from.split_first_chunk::<4>()?;
    *from = rest;
    Some(u32::from_be_bytes(*head))
}

fn take(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(take_count(from)?).ok()?;
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    (!text.contains(&0)).then(|| text.to_vec())
}

fn take_pairs(from: &mut &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    (0..take_count(from)?).map(|_| Some((take(from)?, take(from)?))).collect()
}
