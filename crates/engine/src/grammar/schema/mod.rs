//! JSON Schema before it is compiled: what cannot be kept to is refused by name, what would be
//! costly is bounded.
//!
//! The result describes the same documents, or fewer where a bound is so large that nobody meets it.

mod formats;
mod keywords;
mod numbers;
mod references;

use serde_json::{Map, Value, json};

use crate::EngineError;
use formats::FORMATS;
use keywords::{Kind, kind};
use numbers::Multiples;
use references::References;

/// Bytes of a schema, written without white space.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Schemas inside schemas.
const MAX_DEPTH: usize = 48;
/// Schemas in all.
const MAX_SCHEMAS: usize = 20_000;
/// Properties of an object, whose names keep out of each other's way.
const MAX_PROPERTIES: usize = 1_000;
/// Values of all enumerations.
const MAX_VALUES: usize = 20_000;
/// Bytes of a regular expression.
pub(super) const MAX_PATTERN: usize = 2 << 10;
/// Items, properties and characters that may be asked for; an upper limit beyond is as good as
/// this one.
const MAX_COUNT: u64 = 10_000;

/// A schema that the library compiles to what it means.
pub(super) fn checked(schema: &Value) -> Result<Value, EngineError> {
    if written_len(schema, MAX_DEPTH * 4).is_none_or(|len| len > MAX_BYTES) {
        return Err(EngineError::Format(format!(
            "the JSON schema is larger than {} KiB or nested too deeply",
            MAX_BYTES >> 10
        )));
    }
    let mut check = Check::default();
    let mut schema = match schema {
        Value::Bool(true) => json!({}),
        schema => schema.clone(),
    };
    check.schema(&mut schema, 0)?;
    check.references.check()?;
    check.multiples.check()?;
    Ok(schema)
}

/// The bytes of a value as text at least; `None` where it is nested more than `depth` deep.
fn written_len(value: &Value, depth: usize) -> Option<usize> {
    let below = depth.checked_sub(1)?;
    Some(match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let lens = items.iter().map(|item| written_len(item, below));
            2 + lens.sum::<Option<usize>>()?
        }
        Value::Object(map) => {
            let pairs = map.iter();
            let lens = pairs.map(|(key, value)| Some(key.len() + 4 + written_len(value, below)?));
            2 + lens.sum::<Option<usize>>()?
        }
        _ => 4,
    })
}

/// What has been seen of a schema.
#[derive(Default)]
struct Check {
    /// The way to where the walk is: keywords, names and indices.
    path: Vec<String>,
    n_schemas: usize,
    n_values: usize,
    references: References,
    multiples: Multiples,
}

impl Check {
    /// The place of the walk as a JSON pointer in a fragment.
    fn place(&self) -> String {
        references::pointer(&self.path)
    }

    fn refuse<T>(&self, keyword: &str, why: &str) -> Result<T, EngineError> {
        let place = self.place();
        Err(EngineError::Format(format!(
            "JSON schema, `{keyword}` at `{place}`: {why}"
        )))
    }

    fn inside<T>(
        &mut self,
        step: impl Into<String>,
        walk: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.path.push(step.into());
        let result = walk(self);
        self.path.pop();
        result
    }

    fn schema(&mut self, schema: &mut Value, depth: usize) -> Result<(), EngineError> {
        self.n_schemas += 1;
        if depth > MAX_DEPTH || self.n_schemas > MAX_SCHEMAS {
            return Err(EngineError::Format(format!(
                "the JSON schema has more than {MAX_SCHEMAS} schemas in it, or more than {MAX_DEPTH} inside each other, at `{}`",
                self.place()
            )));
        }
        self.references.add_place(&self.path);
        let map = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(map) => map,
            _ => {
                let place = self.place();
                return Err(EngineError::Format(format!(
                    "JSON schema, at `{place}`: a schema is an object, `true` or `false`"
                )));
            }
        };
        if depth == 0 {
            // The library would take settings from here.
            map.remove("x-guidance");
        }
        self.counts(map)?;
        formats::spell_out(map);
        numbers::clamp(map).or_else(|keyword| {
            self.refuse(
                keyword,
                "no number that is exactly known lies in this range",
            )
        })?;
        self.multiples.add(map, self.path.as_slice());
        let keys: Vec<String> = map.keys().cloned().collect();
        for keyword in keys {
            self.keyword(map, &keyword, depth)?;
        }
        Ok(())
    }

    fn keyword(
        &mut self,
        map: &mut Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<(), EngineError> {
        let Some(value) = map.get_mut(keyword) else {
            return Ok(());
        };
        match kind(keyword) {
            Kind::Schema => self.inside(keyword, |check| check.schema(value, depth + 1)),
            Kind::Schemas => match value {
                Value::Array(items) => self.list(keyword, items, depth),
                Value::Object(_) | Value::Bool(_) if keyword == "items" => {
                    self.inside(keyword, |check| check.schema(value, depth + 1))
                }
                _ => self.refuse(keyword, "a list of schemas is expected"),
            },
            Kind::Named => match value {
                Value::Object(named) if keyword == "properties" && named.len() > MAX_PROPERTIES => {
                    let why = format!("an object has {MAX_PROPERTIES} properties at most");
                    self.refuse(keyword, &why)
                }
                Value::Object(named) => self.inside(keyword, |check| {
                    named.iter_mut().try_for_each(|(name, schema)| {
                        check.pattern(keyword, name)?;
                        check.inside(name, |check| check.schema(schema, depth + 1))
                    })
                }),
                _ => self.refuse(keyword, "an object of schemas is expected"),
            },
            Kind::Value => self.value(keyword, value),
            Kind::Reference => match value.as_str() {
                Some(target) => self.reference(keyword, target.to_owned()),
                None => self.refuse(keyword, "a text is expected"),
            },
            Kind::Limit => Ok(()),
            Kind::Unsupported if is_idle(keyword, value) => {
                map.remove(keyword);
                Ok(())
            }
            Kind::Unsupported => self.refuse(keyword, "this keyword is not supported"),
            Kind::Other => Ok(()),
        }
    }

    fn list(
        &mut self,
        keyword: &str,
        items: &mut [Value],
        depth: usize,
    ) -> Result<(), EngineError> {
        if let "oneOf" = keyword {
            self.references.add_one_of(&self.path);
        }
        self.inside(keyword, |check| {
            items.iter_mut().enumerate().try_for_each(|(index, item)| {
                check.inside(index.to_string(), |check| check.schema(item, depth + 1))
            })
        })
    }

    fn pattern(&self, keyword: &str, text: &str) -> Result<(), EngineError> {
        if keyword == "patternProperties" && text.len() > MAX_PATTERN {
            return self.refuse(keyword, "a regular expression is too long");
        }
        Ok(())
    }

    fn value(&mut self, keyword: &str, value: &Value) -> Result<(), EngineError> {
        match (keyword, value) {
            ("pattern", Value::String(text)) if text.len() > MAX_PATTERN => {
                self.refuse(keyword, "the regular expression is too long")
            }
            ("format", Value::String(name)) if !FORMATS.contains(&name.as_str()) => {
                self.refuse(keyword, &format!("`{name}` is not supported"))
            }
            ("const" | "enum", _) => self.constant(keyword, value),
            _ => Ok(()),
        }
    }

    fn constant(&mut self, keyword: &str, value: &Value) -> Result<(), EngineError> {
        self.n_values += 1;
        if self.n_values > MAX_VALUES {
            return self.refuse(keyword, "there are too many values");
        }
        match value {
            Value::Number(number) if !numbers::is_exact(number) => {
                let why = format!("the number {number} is too large to be kept exactly");
                self.refuse(keyword, &why)
            }
            Value::String(text) if text.chars().any(is_rare_control) => {
                self.refuse(keyword, "a text holds a control character")
            }
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.constant(keyword, item)),
            Value::Object(map) => map
                .values()
                .try_for_each(|item| self.constant(keyword, item)),
            _ => Ok(()),
        }
    }

    fn reference(&mut self, keyword: &str, target: String) -> Result<(), EngineError> {
        if !target.starts_with('#') {
            return self.refuse(
                keyword,
                "only places in the schema itself can be referred to, as `#/$defs/name`",
            );
        }
        self.references.add(&self.path, target);
        Ok(())
    }

    /// Bounds how many of something are asked for.
    fn counts(&mut self, map: &mut Map<String, Value>) -> Result<(), EngineError> {
        for keyword in ["maxItems", "maxLength", "maxProperties"] {
            if let Some(value) = map.get_mut(keyword) {
                match count(value) {
                    Some(n) => *value = json!(n.min(MAX_COUNT)),
                    None => return self.refuse(keyword, "a whole number is expected"),
                }
            }
        }
        for keyword in ["minItems", "minLength", "minProperties"] {
            if let Some(value) = map.get_mut(keyword) {
                match count(value) {
                    Some(n) if n <= MAX_COUNT => *value = json!(n),
                    Some(_) => {
                        return self.refuse(keyword, &format!("{MAX_COUNT} is the most"));
                    }
                    None => return self.refuse(keyword, "a whole number is expected"),
                }
            }
        }
        // A name may come twice in a document, and counts once.
        let least = map.get("minProperties").and_then(count).unwrap_or(0);
        let required = map.get("required").and_then(Value::as_array);
        if least > required.map_or(0, Vec::len) as u64 + 1 {
            return self.refuse(
                "minProperties",
                "more properties than one beside those that are required cannot be asked for",
            );
        }
        Ok(())
    }
}

/// A number of things, also where it is written as `2.0`.
fn count(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0);
    value.as_u64().or_else(|| float().map(|n| n as u64))
}

/// Whether a keyword that is not supported asks for nothing.
fn is_idle(keyword: &str, value: &Value) -> bool {
    match keyword {
        "uniqueItems" => value == &Value::Bool(false),
        "dependentRequired" | "dependentSchemas" | "dependencies" => {
            value.as_object().is_some_and(Map::is_empty)
        }
        "propertyNames" | "unevaluatedItems" | "unevaluatedProperties" => {
            value == &Value::Bool(true) || value.as_object().is_some_and(Map::is_empty)
        }
        _ => false,
    }
}

/// A control character that JSON has no short escape for.
fn is_rare_control(c: char) -> bool {
    (c < ' ' && !matches!(c, '\u{8}' | '\u{c}' | '\n' | '\r' | '\t')) || c == '\u{7f}'
}

/// Where alternatives stand that may not be told apart, to be named where they cannot be compiled.
pub(super) fn one_of_place(schema: &Value) -> Option<String> {
    let mut check = Check::default();
    check.schema(&mut schema.clone(), 0).ok()?;
    check.references.first_one_of()
}

#[cfg(test)]
mod tests;
