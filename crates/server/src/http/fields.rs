//! [`Fields`]: reads a JSON object field by field.
//!
//! Every field that an endpoint knows is taken, by name and type. [`Fields::finish`] then refuses what
//! is left: nothing that a client says is ignored. `null` counts as left out.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::ApiError;

/// The largest number up to which every whole number is a `f64`: 2 to the power of 53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An object that is being read.
#[derive(Debug)]
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// Where the object stands; empty for the body itself.
    path: String,
}

impl Fields {
    /// Reads `value`, which stands at `path`.
    pub(crate) fn new(value: Value, path: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self {
                map,
                path: path.to_owned(),
            }),
            other if path.is_empty() => Err(ApiError::bad_request(format!(
                "The request body must be a JSON object, but is {}.",
                type_name(&other)
            ))),
            other => Err(wrong_type(path, "an object", &other)),
        }
    }

    /// The path of a field of this object.
    pub(crate) fn path_of(&self, name: &str) -> String {
        match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path),
        }
    }

    /// Whether a field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The value of a field, whatever its type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(&self.path_of(name), "a string", &other)),
        }
    }

    /// A text that must be there.
    pub(crate) fn required_string(&mut self, name: &str) -> Result<String, ApiError> {
        let missing = ApiError::missing(self.path_of(name));
        self.string(name)?.ok_or(missing)
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(&self.path_of(name), "a boolean", &other)),
        }
    }

    /// A number within a range.
    pub(crate) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let path = self.path_of(name);
        let number = value.as_f64().filter(|_| value.is_number());
        let number = number.ok_or_else(|| wrong_type(&path, "a number", &value))?;
        match range.contains(&number) {
            true => Ok(Some(number)),
            false => Err(out_of_range(&path, &range, &value)),
        }
    }

    /// A whole number within a range.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let path = self.path_of(name);
        // 3.0 is a whole number too, as JSON Schema sees it.
        let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
        let exact = |number: f64| (number.abs() <= EXACT).then_some(number as i64);
        let number = value.as_i64().or_else(|| value.as_f64().and_then(exact));
        match number.filter(|number| range.contains(number)) {
            _ if !is_whole => Err(wrong_type(&path, "an integer", &value)),
            Some(number) => Ok(Some(number)),
            None => Err(out_of_range(&path, &range, &value)),
        }
    }

    /// A count of things, of which there are `range`.
    pub(crate) fn count(
        &mut self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let bound = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let range = bound(*range.start())..=bound(*range.end());
        let number = self.integer(name, range)?;
        Ok(number.map(|number| number as usize))
    }

    /// A list.
    pub(crate) fn array(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(wrong_type(&self.path_of(name), "an array", &other)),
        }
    }

    /// An object, to be read in turn.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let path = self.path_of(name);
        self.take(name)
            .map(|value| Self::new(value, &path))
            .transpose()
    }

    /// An object that is handed on as it is.
    pub(crate) fn map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        Ok(self.object(name)?.map(|fields| fields.map))
    }

    /// One of some words.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        let names = words.iter().map(|(word, _)| *word);
        let unknown = || unknown_word(&self.path_of(name), &text, names);
        found.map(|(_, value)| Some(*value)).ok_or_else(unknown)
    }

    /// Refuses a field that is known and not supported, where it is there.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) -> Result<(), ApiError> {
        match self.take(name) {
            None => Ok(()),
            Some(_) => Err(ApiError::unsupported(self.path_of(name), why)),
        }
    }

    /// Refuses a field unless it says what is done anyway.
    pub(crate) fn only(
        &mut self,
        name: &str,
        allowed: &[Value],
        why: &str,
    ) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !allowed.contains(&value) => {
                Err(ApiError::unsupported(self.path_of(name), why))
            }
            _ => Ok(()),
        }
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.map.keys().next() else {
            return Ok(());
        };
        let path = self.path_of(name);
        let message = format!("Unrecognized request argument supplied: {path}");
        Err(ApiError::bad_request(message)
            .at(path)
            .with_code("unknown_parameter"))
    }
}

/// A value of another type than the one expected.
pub(crate) fn wrong_type(path: &str, expected: &str, found: &Value) -> ApiError {
    let found = type_name(found);
    ApiError::bad_request(format!(
        "Invalid type for '{path}': expected {expected}, but got {found} instead."
    ))
    .at(path)
    .with_code("invalid_type")
}

/// A word that is none of those expected.
pub(crate) fn unknown_word<'a>(
    path: &str,
    word: &str,
    expected: impl Iterator<Item = &'a str>,
) -> ApiError {
    let expected: Vec<String> = expected.map(|word| format!("'{word}'")).collect();
    // A word from outside may be of any length.
    let word: String = word.chars().take(100).collect();
    ApiError::invalid(
        path,
        format!(
            "Invalid value: '{word}'. Supported values are: {}.",
            expected.join(", ")
        ),
    )
}

fn out_of_range<T: std::fmt::Display>(
    path: &str,
    range: &RangeInclusive<T>,
    found: &Value,
) -> ApiError {
    let (least, most) = (range.start(), range.end());
    ApiError::invalid(
        path,
        format!(
            "Invalid '{path}': expected a value between {least} and {most}, but got {found} instead."
        ),
    )
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::new(value, "").expect("an object")
    }

    #[test]
    fn what_nobody_reads_is_refused_by_name() {
        let mut body = fields(json!({"a": 1, "b": {"c": 2, "d": 3}, "e": null}));
        assert_eq!(body.integer("a", 0..=5), Ok(Some(1)));
        let mut inner = body.object("b").expect("an object").expect("is there");
        assert_eq!(inner.count("c", 0..=5), Ok(Some(2)));
        let error = inner.finish().expect_err("d is left");
        assert_eq!(error.param.as_deref(), Some("b.d"));
        assert!(error.message.ends_with("supplied: b.d"));
        assert_eq!(body.string("e"), Ok(None));
        assert_eq!(body.finish(), Ok(()));
    }

    #[test]
    fn types_and_ranges_are_checked() {
        let mut body = fields(json!({
            "a": "1", "b": 3, "c": 1.5, "d": true, "e": 3.0, "f": 1e300, "g": u64::MAX,
        }));
        let error = body.number("a", 0.0..=1.0).expect_err("a string");
        assert_eq!(error.code, Some("invalid_type"));
        let error = body.number("b", 0.0..=2.0).expect_err("too large");
        assert!(error.message.contains("between 0 and 2"), "{error:?}");
        assert!(body.integer("c", 0..=2).is_err());
        assert!(body.number("d", 0.0..=2.0).is_err());
        assert_eq!(body.integer("e", 0..=5), Ok(Some(3)));
        for large in ["f", "g"] {
            let error = body.integer(large, i64::MIN..=i64::MAX).expect_err("large");
            assert_eq!(error.code, Some("invalid_value"));
        }
    }

    #[test]
    fn words_are_listed_where_one_is_unknown() {
        let mut body = fields(json!({"role": "judge", "kind": "a"}));
        let words = [("a", 1), ("b", 2)];
        assert_eq!(body.one_of("kind", &words), Ok(Some(1)));
        let error = body.one_of("role", &words).expect_err("unknown");
        assert!(error.message.ends_with("'a', 'b'."), "{error:?}");
    }

    #[test]
    fn a_body_is_an_object() {
        let error = Fields::new(json!([1]), "").expect_err("a list");
        assert!(error.message.contains("an array"));
        let error = Fields::new(json!(1), "tools[0]").expect_err("a number");
        assert_eq!(error.param.as_deref(), Some("tools[0]"));
    }
}
