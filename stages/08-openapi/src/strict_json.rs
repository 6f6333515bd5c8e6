//! JSON in which no object has the same member twice.
//!
//! Attack: a body has `code` twice. One layer checks the first, another runs the second, and what ran
//! is not what was checked → such a body is refused, and it is parsed once for all layers. Test:
//! `a_member_that_occurs_twice_is_refused`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses `text`. The error names a position, and never what is there.
pub(crate) fn from_slice(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a member occurs twice"));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_occurs_twice_is_refused() {
        for text in [r#"{"a": 1, "b": 2, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            let error = from_slice(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("occurs twice at line 1"), "{error}");
        }
    }

    #[test]
    fn everything_else_is_read_as_usual() {
        let text = r#"{"a": [1, -2, 2.5, 1e400000, "é\n", null, true], "b": {"a": {}}}"#;
        assert!(from_slice(text.as_bytes()).is_err(), "a number out of range");
        let text = text.replace("1e400000, ", "");
        let expected: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(from_slice(text.as_bytes()).unwrap(), expected);
        assert!(from_slice(&b"[".repeat(1000)).is_err());
        assert!(from_slice(b"{} x").is_err());
    }
}
