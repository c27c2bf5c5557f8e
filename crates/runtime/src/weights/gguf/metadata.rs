//! Questions to the metadata of a GGUF file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::value::{Array, Strings, Value, ValueKind};
use crate::weights::error::{Fault, Result, WeightsError, quoted};

/// The hint for a key that is missing or of the wrong kind.
const CONVERT_AGAIN: &str = "convert the model again with a current converter, or use another file";

/// The metadata of a GGUF file, by key.
///
/// The typed getters convert between kinds of whole numbers (and from them to floating point),
/// because converters do not agree on them. Each comes in two forms: `u64` wants the key to be
/// there, `opt_u64` does not. Both give an error that names the key, the expected kind and the
/// found one.
#[derive(Debug, Clone)]
pub struct Metadata {
    pub(super) path: PathBuf,
    pub(super) version: u32,
    pub(super) entries: BTreeMap<Box<str>, Value>,
}

impl Metadata {
    /// The file that it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the format: 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// All keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// Text under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is no string of UTF-8.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.required(key, self.opt_str(key))
    }

    /// Text under a key.
    ///
    /// # Errors
    /// If the value is no string of UTF-8.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "string of UTF-8", Value::as_str)
    }

    /// A number that is whole and not negative, under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is something else.
    pub fn u64(&self, key: &str) -> Result<u64> {
        self.required(key, self.opt_u64(key))
    }

    /// A number that is whole and not negative.
    ///
    /// # Errors
    /// If the value is something else.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "whole number that is not negative", Value::as_u64)
    }

    /// A whole number under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is something else.
    pub fn i64(&self, key: &str) -> Result<i64> {
        self.required(key, self.opt_i64(key))
    }

    /// A whole number.
    ///
    /// # Errors
    /// If the value is something else.
    pub fn opt_i64(&self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "whole number", Value::as_i64)
    }

    /// A number under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is no number.
    pub fn f64(&self, key: &str) -> Result<f64> {
        self.required(key, self.opt_f64(key))
    }

    /// A number.
    ///
    /// # Errors
    /// If the value is no number.
    pub fn opt_f64(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "number", Value::as_f64)
    }

    /// A truth value under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is something else.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.required(key, self.opt_bool(key))
    }

    /// A truth value.
    ///
    /// # Errors
    /// If the value is something else.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "bool", Value::as_bool)
    }

    /// An array under a key that has to be there.
    ///
    /// # Errors
    /// If the key is missing or its value is no array.
    pub fn array(&self, key: &str) -> Result<&Array> {
        self.required(key, self.opt_array(key))
    }

    /// An array.
    ///
    /// # Errors
    /// If the value is no array.
    pub fn opt_array(&self, key: &str) -> Result<Option<&Array>> {
        self.typed(key, "array", Value::as_array)
    }

    /// The bytes of an array of strings.
    ///
    /// # Errors
    /// If the value is no array of strings.
    pub fn opt_strings(&self, key: &str) -> Result<Option<Strings<'_>>> {
        self.typed(key, "array of strings", |v| v.as_array()?.strings())
    }

    /// An array of whole numbers.
    ///
    /// # Errors
    /// If the value is no array of whole numbers.
    pub fn opt_i64s(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.typed(key, "array of whole numbers", |v| v.as_array()?.to_i64s())
    }

    /// An array of numbers.
    ///
    /// # Errors
    /// If the value is no array of numbers.
    pub fn opt_f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.typed(key, "array of numbers", |v| v.as_array()?.to_f32s())
    }

    /// The error for a key that has to be there and is not.
    #[must_use]
    pub fn missing(&self, key: &str) -> WeightsError {
        self.fault(key, "the key", "none of that name".into())
    }

    fn required<T>(&self, key: &str, value: Result<Option<T>>) -> Result<T> {
        value?.ok_or_else(|| self.missing(key))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        get: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        get(value)
            .map(Some)
            .ok_or_else(|| self.fault(key, expected, describe(value)))
    }

    fn fault(&self, key: &str, expected: &str, found: String) -> WeightsError {
        let place = format!("key {}", quoted(key.as_bytes()));
        WeightsError::Key(Fault::new(
            &self.path,
            place,
            expected,
            found,
            CONVERT_AGAIN,
        ))
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string {}", quoted(text.as_bytes())),
        Value::Array(array) => match array.kind() {
            ValueKind::Array => format!("array of {} arrays", array.len()),
            kind => format!("array of {} {} values", array.len(), kind.name()),
        },
        Value::Bool(v) => format!("bool {v}"),
        number => match number.as_f64() {
            Some(v) => format!("{} {v}", number.kind().name()),
            None => number.kind().name().to_owned(),
        },
    }
}
