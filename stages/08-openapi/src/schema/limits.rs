//! Bounds the size of a value before the library lists its errors.
//!
//! Attack: an object with 4,000 names that `propertyNames` forbids, in a body of 43 KB. The library
//! makes an error for each name, with a copy of the whole object in it: 2.4 GB → objects are cut to
//! [`MAX_UNKNOWN_MEMBERS`], and the members that the contract names; texts in an object with more than
//! [`MAX_COPIES`] members are cut to [`MAX_TEXT_BYTES`]. Tests:
//! `the_explanation_of_a_large_object_is_bounded`, and `every_error_costs_what_its_request_costs` with the
//! whole server.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

/// Members of one object beside those whose names are in the contract. More than any `maxProperties`
/// of a request, so that an object that is cut still has too many.
pub(super) const MAX_UNKNOWN_MEMBERS: usize = 128;

/// Members of an object that may be copied with whole texts: each may have an error with a copy.
const MAX_COPIES: usize = 8;
/// Bytes of a text in an object with more members. A multiple of four, so that base64 remains base64, and
/// above the length of all short texts of a contract.
const MAX_TEXT_BYTES: usize = 1 << 10;

/// The names of all properties in a contract.
pub(super) struct PropertyNames(HashSet<String>);

impl PropertyNames {
    pub(super) fn of(document: &Value) -> Self {
        let mut names = HashSet::new();
        collect(document, &mut names);
        Self(names)
    }

    /// The value as it is, or a copy of it whose large objects are cut.
    pub(super) fn limit<'a>(&self, value: &'a Value) -> Cow<'a, Value> {
        if is_large(value, false) {
            Cow::Owned(self.cut(value, false))
        } else {
            Cow::Borrowed(value)
        }
    }

    /// `copied` is true inside an object that has so many members that its texts are cut.
    fn cut(&self, value: &Value, copied: bool) -> Value {
        match value {
            Value::Object(members) => {
                let (mut unknown, copied) = (0, copied || members.len() > MAX_COPIES);
                let keep = |(name, _): &(&String, &Value)| {
                    let is_known = self.0.contains(*name);
                    unknown += usize::from(!is_known);
                    is_known || unknown <= MAX_UNKNOWN_MEMBERS
                };
                let kept = members.iter().filter(keep);
                let members: Map<_, _> =
                    kept.map(|(name, member)| (name.clone(), self.cut(member, copied))).collect();
                members.into()
            }
            Value::Array(items) => items.iter().map(|item| self.cut(item, copied)).collect(),
            Value::String(text) if copied => {
                text[..text.floor_char_boundary(MAX_TEXT_BYTES)].into()
            }
            scalar => scalar.clone(),
        }
    }
}

fn is_large(value: &Value, copied: bool) -> bool {
    match value {
        Value::Object(members) => {
            let copied = copied || members.len() > MAX_COPIES;
            members.len() > MAX_UNKNOWN_MEMBERS
                || members.values().any(|member| is_large(member, copied))
        }
        Value::Array(items) => items.iter().any(|item| is_large(item, copied)),
        Value::String(text) => copied && text.len() > MAX_TEXT_BYTES,
        _ => false,
    }
}

fn collect(value: &Value, names: &mut HashSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                names.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}
