//! JSON Pointers (RFC 6901).

/// A name as one step of a JSON Pointer: `~` and `/` have a meaning there, and are escaped.
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
