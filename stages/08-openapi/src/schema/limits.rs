//! Bounds the size of a value before the library lists its errors.
//!
//! Attack: an object with 4,000 names that `propertyNames` forbids, in a body of 43 KB. The library
//! makes an error for each name, with a copy of the whole object in it: 2.4 GB → objects are cut to
//! [`MAX_UNKNOWN_MEMBERS`], and the members that the contract names. Test:
//! `the_explanation_of_a_large_object_is_bounded`.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

/// Members of one object beside those whose names are in the contract. More than any `maxProperties`
/// of a request, so that an object that is cut still has too many.
pub(super) const MAX_UNKNOWN_MEMBERS: usize = 128;

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
        if has_large_object(value) { Cow::Owned(self.cut(value)) } else { Cow::Borrowed(value) }
    }

    fn cut(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut unknown = 0;
                let keep = |(name, _): &(&String, &Value)| {
                    let is_known = self.0.contains(*name);
                    unknown += usize::from(!is_known);
                    is_known || unknown <= MAX_UNKNOWN_MEMBERS
                };
                let kept = members.iter().filter(keep);
                let members: Map<_, _> =
                    kept.map(|(name, member)| (name.clone(), self.cut(member))).collect();
                members.into()
            }
            Value::Array(items) => items.iter().map(|item| self.cut(item)).collect(),
            scalar => scalar.clone(),
        }
    }
}

fn has_large_object(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.len() > MAX_UNKNOWN_MEMBERS || members.values().any(has_large_object)
        }
        Value::Array(items) => items.iter().any(has_large_object),
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
