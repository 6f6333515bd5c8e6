//! Overlays: how a later stage extends the contract without copying or editing it.
//!
//! An overlay is a document of the [OpenAPI Overlay Specification 1.0](https://spec.openapis.org/overlay/v1.0.0.html):
//! a list of actions, each with a target in the contract. Two things are narrower here than there:
//!
//! * a target is a path of names, such as `$.components.schemas['Evaluation']`, and has to exist;
//! * an update only adds. Where it would change a value, it is refused; an overlay that means to
//!   replace a value removes it in an earlier action.
//!
//! Each overlay that is accepted means the same to any other tool for overlays.

use serde::Deserialize;
use serde_json::{Map, Value};
use shared::pointer::escape;

use crate::error::OverlayError;
use crate::violation::push_name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what an overlay says about itself is for people")]
struct Overlay {
    #[serde(rename = "overlay")]
    version: String,
    info: Option<Value>,
    extends: Option<String>,
    actions: Vec<Action>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the description is for people")]
struct Action {
    target: String,
    description: Option<String>,
    update: Option<Value>,
    #[serde(default)]
    remove: bool,
}

// ANCHOR: apply
/// Applies the overlay in `text` to `document`, action by action. On an error the document is changed
/// in part.
pub(crate) fn apply(document: &mut Value, text: &str) -> Result<(), OverlayError> {
    let parsed: Value =
        serde_saphyr::from_str(text).map_err(|error| OverlayError::Yaml(Box::new(error)))?;
    let Overlay { version, actions, .. } =
        serde_json::from_value(parsed).map_err(OverlayError::Form)?;
    if !version.starts_with("1.0.") {
        return Err(OverlayError::Version(version));
    }
    for Action { target, update, remove, .. } in actions {
        let names = names(&target).ok_or_else(|| OverlayError::Target(target.clone()))?;
        match (update, remove) {
            (Some(update), false) => {
                let Some(selected) = select(document, &names) else {
                    return Err(OverlayError::NoTarget(target));
                };
                add(selected, update, &pointer_to(&names))?;
            }
            (None, true) => remove_at(document, &names).ok_or(OverlayError::NoTarget(target))?,
            _ => return Err(OverlayError::Action(target)),
        }
    }
    Ok(())
}
// ANCHOR_END: apply

/// An update of an array is one more item of it; one of an object is merged.
fn add(selected: &mut Value, update: Value, pointer: &str) -> Result<(), OverlayError> {
    if let Value::Array(items) = selected {
        items.push(update);
        return Ok(());
    }
    merge(selected, update, pointer)
}

// ANCHOR: merge
/// Merges objects member by member and appends arrays. Any other value must be the same already.
fn merge(existing: &mut Value, update: Value, pointer: &str) -> Result<(), OverlayError> {
    match (existing, update) {
        (existing, update) if *existing == update => Ok(()),
        (Value::Object(members), Value::Object(new)) if !members.contains_key("$ref") => {
            for (name, value) in new {
                let at = format!("{pointer}/{}", escape(&name));
                match members.get_mut(&name) {
                    Some(member) => merge(member, value, &at)?,
                    None => drop(members.insert(name, value)),
                }
            }
            Ok(())
        }
        (Value::Array(items), Value::Array(new)) => {
            items.extend(new);
            Ok(())
        }
        _ => Err(OverlayError::Conflict { pointer: pointer.to_owned() }),
    }
}
// ANCHOR_END: merge

fn select<'a>(document: &'a mut Value, names: &[String]) -> Option<&'a mut Value> {
    names.iter().try_fold(document, |value, name| value.get_mut(name))
}

fn remove_at(document: &mut Value, names: &[String]) -> Option<()> {
    let (last, parents) = names.split_last()?;
    let members: &mut Map<_, _> = select(document, parents)?.as_object_mut()?;
    members.shift_remove(last).map(drop)
}

fn pointer_to(names: &[String]) -> String {
    let mut pointer = String::new();
    for name in names {
        push_name(&mut pointer, name);
    }
    pointer
}

/// The names in a `JSONPath` that has nothing else: `$.paths['/eval'].get`.
fn names(target: &str) -> Option<Vec<String>> {
    let mut rest = target.strip_prefix('$')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = if let Some(dotted) = rest.strip_prefix('.') {
            dotted.split_at(dotted.find(['.', '[']).unwrap_or(dotted.len()))
        } else if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']")?
        } else {
            rest.strip_prefix("[\"")?.split_once("\"]")?
        };
        if name.is_empty() || name.contains(['*', '?', '@', '\\']) {
            return None;
        }
        names.push(name.to_owned());
        rest = after;
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({ "paths": { "/a": { "get": { "summary": "A", "tags": ["x"] } } }, "list": [1],
                "linked": { "$ref": "#/list" } })
    }

    /// The document after these actions.
    fn applied(actions: &str) -> Result<Value, String> {
        let mut document = document();
        let text = format!("overlay: 1.0.0\ninfo: {{title: T, version: '1'}}\nactions: {actions}");
        apply(&mut document, &text).map_err(|error| error.to_string())?;
        Ok(document)
    }

    #[test]
    fn an_update_adds_members_and_items() {
        let after = applied(
            "[{target: $.paths, update: {/b: {get: {summary: B}}, /a: {get: {deprecated: true}}}},
              {target: $.list, update: 2},
              {target: \"$.paths['/a'].get\", update: {summary: A, tags: [z]}}]",
        );
        let expected = json!({
            "paths": {
                "/a": { "get": { "summary": "A", "tags": ["x", "z"], "deprecated": true } },
                "/b": { "get": { "summary": "B" } },
            },
            "list": [1, 2],
            "linked": { "$ref": "#/list" },
        });
        assert_eq!(after.unwrap(), expected);
    }

    #[test]
    fn what_is_there_is_changed_only_after_it_was_removed() {
        let update = "{target: \"$.paths['/a'].get\", update: {summary: B}}";
        let error = applied(&format!("[{update}]")).unwrap_err();
        assert!(error.contains("/paths/~1a/get/summary"), "{error}");
        let remove = "{target: \"$.paths['/a'].get.summary\", remove: true}";
        let after = applied(&format!("[{remove}, {update}]")).unwrap();
        assert_eq!(after["paths"]["/a"]["get"]["summary"], "B");
        let error = applied("[{target: $.linked, update: {type: array}}]").unwrap_err();
        assert!(error.contains("/linked"), "{error}");
    }

    #[test]
    fn an_overlay_that_cannot_be_applied_is_an_error() {
        for (actions, expected) in [
            ("[{target: $.nothing, update: {}}]", "not in the contract"),
            ("[{target: $.nothing, remove: true}]", "not in the contract"),
            ("[{target: '$.paths.*', update: {}}]", "not a path of names"),
            ("[{target: paths, update: {}}]", "not a path of names"),
            ("[{target: $.paths}]", "either `update` or `remove`"),
            ("[{target: $.paths, update: {}, remove: true}]", "either `update` or `remove`"),
            ("[{target: $.paths, updaet: {}}]", "no overlay"),
        ] {
            let error = applied(actions).unwrap_err();
            assert!(error.contains(expected), "{actions}: {error}");
        }
        let other = apply(&mut document(), "overlay: 2.0.0\nactions: []").unwrap_err();
        assert!(other.to_string().contains("2.0.0"), "{other}");
    }
}
