//! The comment lines at the top of a probe.
//!
//! One field a line, `# name: value`, from the first line of the file to the first that is not a
//! comment. The values of the fields are in `fields`.

mod fields;

use std::path::Path;

pub use fields::{Class, Evidence, Fact, Group, Host, Net, Order, Resource};

/// The first stage that has to contain a probe, unless its header names another.
pub const FIRST_SANDBOXED: u16 = 4;
/// The longest time limit of an evaluation, in seconds: stage 1 ends every program after 30.
const MAX_SECONDS: u16 = 25;
/// Default of `seconds`: a busy machine takes its time, and only a probe of the time limit itself needs a short one.
const DEFAULT_SECONDS: u16 = MAX_SECONDS;

/// The description of a probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// `GROUP/NAME`, its path below `tests/probes` without `.py`.
    pub id: String,
    /// What the attacker would get, in the terms of gVisor's security policy.
    pub class: Class,
    /// A few words for a table.
    pub title: String,
    /// What it tries to do, in one line.
    pub intent: String,
    /// What success would look like, in one line.
    pub success: String,
    /// Where the attack is described: OWASP, CIS, NIST, a CVE, a paper.
    pub source: String,
    /// How success is observed.
    pub evidence: Evidence,
    /// The same, in the words of the header.
    pub evidence_words: String,
    /// Where it may run on a stage that leaves the host open.
    pub host: Host,
    /// Whether no other probe may run at the same time.
    pub alone: bool,
    /// The time limit of its evaluation, in seconds.
    pub seconds: u16,
    /// The first stage that has to contain it.
    pub contained_from: u16,
    group: Group,
}

/// An invalid header: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct HeaderError {
    file: String,
    line: usize,
    what: String,
}

/// The fields, in the recommended order. The last three are optional.
const FIELDS: [&str; 11] = [
    "id",
    "class",
    "title",
    "intent",
    "success",
    "source",
    "evidence",
    "host",
    "alone",
    "seconds",
    "contained-from",
];
const OPTIONAL: [&str; 3] = ["alone", "seconds", "contained-from"];

impl Header {
    /// Reads the header of `code`. `file` is for the message only.
    ///
    /// # Errors
    ///
    /// When a field is missing, unknown, repeated, empty, or has an invalid value.
    pub fn parse(code: &str, file: &Path) -> Result<Self, HeaderError> {
        Fields::read(code, file)?.header()
    }

    /// The group, which is the first part of the id.
    pub fn group(&self) -> Group {
        self.group
    }
}

/// The values of [`FIELDS`], with their lines.
struct Fields<'a> {
    file: &'a Path,
    values: [Option<(usize, &'a str)>; FIELDS.len()],
    end: usize,
}

impl<'a> Fields<'a> {
    fn read(code: &'a str, file: &'a Path) -> Result<Self, HeaderError> {
        let mut fields = Self { file, values: [None; FIELDS.len()], end: 0 };
        let comments =
            (1..).zip(code.lines()).map_while(|(n, line)| Some((n, line.strip_prefix('#')?)));
        for (number, line) in comments {
            fields.end = number;
            let Some((name, value)) = line.split_once(':') else {
                return Err(
                    fields.error(number, "a header has lines such as `# title: Read a file`")
                );
            };
            let (name, value) = (name.trim(), value.trim());
            let Some(at) = FIELDS.iter().position(|field| *field == name) else {
                let known = FIELDS.join(", ");
                return Err(fields.error(number, format!("unknown field {name:?}; known: {known}")));
            };
            if value.is_empty() {
                return Err(fields.error(number, format!("{name} is empty")));
            }
            if fields.values[at].replace((number, value)).is_some() {
                return Err(fields.error(number, format!("{name} is there twice")));
            }
        }
        Ok(fields)
    }

    fn error(&self, line: usize, what: impl Into<String>) -> HeaderError {
        HeaderError { file: self.file.display().to_string(), line, what: what.into() }
    }

    fn find(&self, name: &str) -> Option<(usize, &'a str)> {
        FIELDS.iter().position(|field| *field == name).and_then(|at| self.values[at])
    }

    /// The value of a required field, parsed by `parse`.
    fn need<T>(
        &self,
        name: &str,
        parse: impl Fn(&'a str) -> Result<T, String>,
    ) -> Result<T, HeaderError> {
        let missing = || self.error(self.end + 1, format!("the header has no `# {name}: ...`"));
        let (line, value) = self.find(name).ok_or_else(missing)?;
        parse(value).map_err(|what| self.error(line, format!("{name}: {what}")))
    }

    fn text(&self, name: &str) -> Result<String, HeaderError> {
        self.need(name, |value| Ok(value.to_owned()))
    }

    fn number(&self, name: &str, default: u16, most: u16) -> Result<u16, HeaderError> {
        if self.find(name).is_none() {
            return Ok(default);
        }
        self.need(name, |value| {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| format!("give a number from 1 to {most}"))
        })
    }

    fn header(&self) -> Result<Header, HeaderError> {
        debug_assert!(OPTIONAL.iter().all(|name| FIELDS.contains(name)));
        let group = self.need("id", |id| {
            let (group, name) = id.split_once('/').unwrap_or_default();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("{id:?} is not GROUP/NAME in small letters, digits and -"));
            }
            Group::parse(group)
        })?;
        Ok(Header {
            id: self.text("id")?,
            class: self.need("class", Class::parse)?,
            title: self.need("title", |title| match title.chars().count() {
                ..=48 => Ok(title.to_owned()),
                _ => Err("use at most 48 characters; `intent` has room for more".to_owned()),
            })?,
            intent: self.text("intent")?,
            success: self.text("success")?,
            source: self.text("source")?,
            evidence: self.need("evidence", Evidence::parse)?,
            evidence_words: self.text("evidence")?,
            host: self.need("host", Host::parse)?,
            alone: match self.find("alone") {
                None => false,
                Some((_, "yes")) => true,
                Some((line, _)) => {
                    return Err(self.error(line, "alone: say `yes`, or leave it out"));
                }
            },
            seconds: self.number("seconds", DEFAULT_SECONDS, MAX_SECONDS)?,
            contained_from: self.number("contained-from", FIRST_SANDBOXED, 99)?,
            group,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const EXAMPLE: &str = "\
# id: network/tcp
# class: Exfil
# title: Connect to a service of the host
# intent: Opens a TCP connection to every address of the host
# success: The host's listener gets the token
# source: CIS Docker Benchmark 5.10
# evidence: listener tcp
# host: safe
print(1)
";

    fn parse(code: &str) -> Result<Header, String> {
        Header::parse(code, Path::new("p.py")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_header_is_read() {
        let header = parse(EXAMPLE).unwrap();
        assert_eq!(header.group(), Group::Network);
        assert_eq!(header.evidence, Evidence::Listener(Net::Tcp));
        assert_eq!(header.evidence_words, "listener tcp");
        assert_eq!((header.alone, header.seconds, header.contained_from), (false, 25, 4));
        let more =
            EXAMPLE.replace("print", "# alone: yes\n# seconds: 3\n# contained-from: 2\nprint");
        let header = parse(&more).unwrap();
        assert_eq!((header.alone, header.seconds, header.contained_from), (true, 3, 2));
    }

    #[test]
    fn a_missing_field_is_named_with_its_place() {
        for field in &FIELDS[..8] {
            let line = EXAMPLE.lines().find(|line| line.starts_with(&format!("# {field}:")));
            let without = EXAMPLE.replace(&format!("{}\n", line.unwrap()), "");
            let error = parse(&without).unwrap_err();
            assert_eq!(error, format!("p.py:8: the header has no `# {field}: ...`"));
        }
        assert!(parse("").unwrap_err().starts_with("p.py:1: the header has no `# id"));
    }

    #[test]
    fn what_a_field_cannot_say_is_an_error_with_its_line() {
        for (from, to, error) in [
            ("# host: safe", "# hots: safe", "p.py:8: unknown field \"hots\"; known: id, class,"),
            ("# host: safe", "# host: safe\n# host: safe", "p.py:9: host is there twice"),
            ("# host: safe", "# host:", "p.py:8: host is empty"),
            ("# host: safe", "# host: maybe", "p.py:8: host: \"maybe\" is not one of: safe, conf"),
            ("# host: safe", "# a remark\n# host: safe", "p.py:8: a header has lines such as"),
            ("listener tcp", "listener tpc", "p.py:7: evidence: \"tpc\" is not one of: tcp, udp"),
            ("listener tcp", "hearsay", "p.py:7: evidence: \"hearsay\" is not one of: canary-file"),
            ("network/tcp", "tcp", "p.py:1: id: \"tcp\" is not GROUP/NAME"),
            ("network/tcp", "network/Tcp", "p.py:1: id: \"network/Tcp\" is not GROUP/NAME"),
            ("network/tcp", "net/tcp", "p.py:1: id: \"net\" is not one of: host-files, secrets"),
            ("Exfil", "Bad", "p.py:2: class: \"Bad\" is not one of: Escape, HostLeak"),
            ("print", "# seconds: 26\nprint", "p.py:9: seconds: give a number from 1 to 25"),
            ("print", "# alone: no\nprint", "p.py:9: alone: say `yes`, or leave it out"),
            ("a service", &"a".repeat(48), "p.py:3: title: use at most 48 characters"),
        ] {
            let found = parse(&EXAMPLE.replace(from, to)).unwrap_err();
            assert!(found.starts_with(error), "{found}\nis not\n{error}");
        }
    }
}
