//! Who executes: a user of the sandbox's own lists, or a number.

use std::io::Read as _;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::process::{Gid, Uid};

/// The longest list that is read. The sandbox writes it.
const MAX_LIST_BYTES: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// Supplementary ones.
    pub(crate) groups: Vec<Gid>,
    /// As far as the list has it.
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) home: Vec<u8>,
}

impl User {
    /// The user that is meant by `name`, `uid`, `name:group` or `uid:gid`. None when the lists do
    /// not have the name or the group.
    pub(crate) fn find(text: &[u8]) -> Option<Self> {
        Self::find_in(text, &list("/etc/passwd"), &list("/etc/group"))
    }

    fn find_in(text: &[u8], users: &[u8], groups: &[u8]) -> Option<Self> {
        let (user, group) = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        };
        let by_name = lines(users).find(|fields| fields.first() == Some(&user));
        let listed = by_name.or_else(|| {
            let uid = number(user)?;
            lines(users).find(|fields| fields.get(2).and_then(|field| number(field)) == Some(uid))
        });
        let field = |index: usize| listed.as_ref().and_then(|fields| fields.get(index).copied());
        let uid = match &listed {
            Some(_) => field(2).and_then(number)?,
            None => number(user)?,
        };
        let name = field(0).map(<[u8]>::to_vec);
        let (gid, supplementary) = match group {
            Some(group) => (group_id(group, groups)?, Vec::new()),
            // Never the group of root for a user that is not listed.
            None => {
                (field(3).and_then(number).unwrap_or(uid), memberships(name.as_deref(), groups))
            }
        };
        let home = field(5).filter(|home| home.starts_with(b"/")).unwrap_or(b"/").to_vec();
        Some(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: supplementary.into_iter().map(Gid::from_raw).collect(),
            name,
            home,
        })
    }
}

/// The groups that list a user as their member.
fn memberships(name: Option<&[u8]>, groups: &[u8]) -> Vec<u32> {
    let Some(name) = name else { return Vec::new() };
    let is_member = |fields: &Vec<&[u8]>| {
        fields
            .get(3)
            .is_some_and(|members| members.split(|byte| *byte == b',').any(|member| member == name))
    };
    let members = lines(groups).filter(is_member);
    members.filter_map(|fields| fields.get(2).and_then(|field| number(field))).collect()
}

fn group_id(group: &[u8], groups: &[u8]) -> Option<u32> {
    let listed = lines(groups).find(|fields| fields.first() == Some(&group));
    listed.map_or_else(|| number(group), |fields| fields.get(2).and_then(|field| number(field)))
}

fn lines(list: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let lines = list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| line.split(|byte| *byte == b':').collect())
}

/// A number that is an id: the highest one means "none" to the system's calls.
fn number(text: &[u8]) -> Option<u32> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

/// A list; empty when there is none. Never waits: the sandbox may have put a pipe there.
fn list(path: &str) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return Vec::new() };
    let is_file = fstat(&file)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
    let mut bytes = Vec::new();
    if is_file {
        // An error leaves what was read before.
        std::fs::File::from(file).take(MAX_LIST_BYTES).read_to_end(&mut bytes).ok();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n\
        broken\nnumbered:x:7\n1000:x:5:5::/five:\n";
    const GROUPS: &[u8] = b"root:x:0:\nagent:x:1000:\naudio:x:29:other,agent\nvideo:x:44:agent\n";

    fn found(text: &str) -> Option<(u32, u32, Vec<u32>, String)> {
        let user = User::find_in(text.as_bytes(), USERS, GROUPS)?;
        let groups = user.groups.iter().map(|group| group.as_raw()).collect();
        let home = String::from_utf8(user.home).unwrap();
        Some((user.uid.as_raw(), user.gid.as_raw(), groups, home))
    }

    #[test]
    fn a_user_is_a_name_a_number_or_a_number_that_no_list_has() {
        let agent = (1000, 1000, vec![29, 44], "/home/agent".to_owned());
        assert_eq!(found("agent"), Some(agent));
        assert_eq!(found("root"), Some((0, 0, Vec::new(), "/root".to_owned())));
        assert_eq!(found("0"), found("root"));
        assert_eq!(found("1234"), Some((1234, 1234, Vec::new(), "/".to_owned())));
        assert_eq!(found("1234:5"), Some((1234, 5, Vec::new(), "/".to_owned())));
        assert_eq!(found("agent:audio"), Some((1000, 29, Vec::new(), "/home/agent".to_owned())));
        assert_eq!(found("numbered"), Some((7, 7, Vec::new(), "/".to_owned())));
        // A name that looks like a number comes first, as in Docker.
        assert_eq!(found("1000"), Some((5, 5, Vec::new(), "/five".to_owned())));
        for unknown in
            ["", "nobody", "broken", "-1", "+1", "4294967295", "agent:none", "agent:", ":"]
        {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
