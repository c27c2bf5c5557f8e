//! The rules that OpenAI has for schemas that say `strict`: every object says all of its fields, and
//! that there are no others.

use serde_json::{Map, Value};

use crate::http::ApiError;

/// Levels of objects and lists.
const MAX_DEPTH: usize = 10;

/// Fields of all objects together.
const MAX_FIELDS: usize = 5000;

/// Values of all lists of values together.
const MAX_ENUM_VALUES: usize = 1000;

/// Characters of all names and values together.
const MAX_CHARS: usize = 120_000;

/// Keywords with which a schema is no longer strict.
const REFUSED: [&str; 9] = [
    "allOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "then",
    "else",
    "oneOf",
    "patternProperties",
];

/// Checks a schema. `param` is where it stands in the request, `whose` what it describes.
pub(crate) fn check(schema: &Value, param: &str, whose: &str) -> Result<(), ApiError> {
    let mut walk = Walk {
        param,
        whose,
        context: Vec::new(),
        fields: 0,
        enum_values: 0,
        chars: 0,
    };
    let root = schema.as_object();
    let is_object = root.is_some_and(|root| is_type(root, "object") && !root.contains_key("anyOf"));
    if !is_object {
        return Err(walk.error("the root must be of type 'object', without 'anyOf'"));
    }
    walk.schema(schema, 0)
}

fn is_type(schema: &Map<String, Value>, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(some)) => some.iter().any(|one| one == name),
        _ => false,
    }
}

struct Walk<'a> {
    param: &'a str,
    whose: &'a str,
    /// The way from the root to here.
    context: Vec<String>,
    fields: usize,
    enum_values: usize,
    chars: usize,
}

impl Walk<'_> {
    fn error(&self, what: &str) -> ApiError {
        let context: Vec<String> = self
            .context
            .iter()
            .map(|part| format!("'{part}'"))
            .collect();
        let message = format!(
            "Invalid schema for {}: In context=({}), {what}.",
            self.whose,
            context.join(", ")
        );
        ApiError::bad_request(message)
            .at(self.param)
            .with_code("invalid_schema")
    }

    fn inside(
        &mut self,
        names: &[&str],
        look: impl FnOnce(&mut Self) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let depth = self.context.len();
        self.context
            .extend(names.iter().map(|&name| name.to_owned()));
        look(self)?;
        self.context.truncate(depth);
        Ok(())
    }

    fn schema(&mut self, schema: &Value, depth: usize) -> Result<(), ApiError> {
        let Some(map) = schema.as_object() else {
            return Err(self.error("a schema must be an object"));
        };
        if depth > MAX_DEPTH {
            return Err(self.error(&format!("there are more than {MAX_DEPTH} levels")));
        }
        if let Some(keyword) = REFUSED.iter().find(|&&keyword| map.contains_key(keyword)) {
            return Err(self.error(&format!("'{keyword}' is not permitted")));
        }
        if is_type(map, "object") || map.contains_key("properties") {
            self.object(map, depth)?;
        }
        self.values(map)?;
        match map.get("items") {
            Some(items) => self.inside(&["items"], |walk| walk.schema(items, depth + 1))?,
            None if is_type(map, "array") => return Err(self.error("'items' is required")),
            None => {}
        }
        if let Some(choices) = map.get("anyOf") {
            let Some(choices) = choices.as_array() else {
                return Err(self.error("'anyOf' must be a list"));
            };
            for (i, choice) in choices.iter().enumerate() {
                self.inside(&["anyOf", &i.to_string()], |walk| {
                    walk.schema(choice, depth)
                })?;
            }
        }
        for keyword in ["$defs", "definitions"] {
            let named = map.get(keyword).and_then(Value::as_object);
            for (name, schema) in named.into_iter().flatten() {
                self.count_chars(name)?;
                self.inside(&[keyword, name], |walk| walk.schema(schema, 0))?;
            }
        }
        Ok(())
    }

    fn object(&mut self, map: &Map<String, Value>, depth: usize) -> Result<(), ApiError> {
        if map.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(
                self.error("'additionalProperties' is required to be supplied and to be false")
            );
        }
        let properties = match map.get("properties") {
            None => &Map::new(),
            Some(Value::Object(properties)) => properties,
            Some(_) => return Err(self.error("'properties' must be an object")),
        };
        let empty = Vec::new();
        let required = match map.get("required") {
            None => &empty,
            Some(Value::Array(required)) => required,
            Some(_) => return Err(self.error("'required' must be a list")),
        };
        let is_required = |name: &String| required.iter().any(|one| one == name);
        if let Some(name) = properties.keys().find(|name| !is_required(name)) {
            return Err(self.error(&format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{name:.100}'"
            )));
        }
        let extra = required
            .iter()
            .find(|one| !one.as_str().is_some_and(|one| properties.contains_key(one)));
        if let Some(name) = extra {
            return Err(self.error(&format!(
                "'required' names {name:.100}, which is not in properties"
            )));
        }
        self.fields += properties.len();
        if self.fields > MAX_FIELDS {
            return Err(self.error(&format!("there are more than {MAX_FIELDS} properties")));
        }
        for (name, schema) in properties {
            self.count_chars(name)?;
            self.inside(&["properties", name], |walk| walk.schema(schema, depth + 1))?;
        }
        Ok(())
    }

    fn values(&mut self, map: &Map<String, Value>) -> Result<(), ApiError> {
        let listed = map.get("enum").and_then(Value::as_array);
        for value in listed.into_iter().flatten().chain(map.get("const")) {
            self.enum_values += 1;
            if let Some(text) = value.as_str() {
                self.count_chars(text)?;
            }
        }
        match self.enum_values > MAX_ENUM_VALUES {
            true => Err(self.error(&format!(
                "there are more than {MAX_ENUM_VALUES} enum values"
            ))),
            false => Ok(()),
        }
    }

    fn count_chars(&mut self, text: &str) -> Result<(), ApiError> {
        self.chars += text.chars().count();
        match self.chars > MAX_CHARS {
            true => Err(self.error(&format!(
                "names and values have more than {MAX_CHARS} characters"
            ))),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: Value) -> String {
        check(&schema, "p", "response_format 'x'")
            .expect_err("refused")
            .message
    }

    #[test]
    fn what_follows_the_rules_passes() {
        let schema = json!({
            "type": "object",
            "properties": {
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "kind": {"type": "string", "enum": ["a", "b"]},
            },
            "required": ["steps", "note", "kind"],
            "additionalProperties": false,
            "$defs": {"step": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/step"}},
                "required": ["next"],
                "additionalProperties": false,
            }},
        });
        assert_eq!(check(&schema, "p", "x"), Ok(()));
    }

    #[test]
    fn what_breaks_them_is_found_with_the_way_to_it() {
        let inner = |inner: Value| {
            json!({"type": "object", "properties": {"a": inner}, "required": ["a"],
                   "additionalProperties": false})
        };
        for (schema, said) in [
            (json!({"type": "string"}), "root"),
            (
                json!({"type": "object"}),
                "context=(), 'additionalProperties'",
            ),
            (
                inner(json!({"type": "object", "properties": {}})),
                "context=('properties', 'a'), 'additionalProperties'",
            ),
            (
                json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"],
                       "additionalProperties": false}),
                "Missing 'b'",
            ),
            (
                json!({"type": "object", "properties": {}, "required": ["a"],
                       "additionalProperties": false}),
                "not in properties",
            ),
            (inner(json!({"allOf": []})), "'allOf' is not permitted"),
            (inner(json!({"type": "array"})), "'items' is required"),
            (
                inner(json!({"anyOf": [{"type": "object"}]})),
                "('properties', 'a', 'anyOf', '0')",
            ),
            (inner(json!(true)), "must be an object"),
        ] {
            let message = refused(schema.clone());
            assert!(message.contains(said), "{schema}: {message}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let mut deep = json!({"type": "string"});
        for _ in 0..12 {
            deep = json!({"type": "object", "properties": {"a": deep}, "required": ["a"],
                          "additionalProperties": false});
        }
        assert!(refused(deep).contains("levels"));
        let values: Vec<String> = (0..1001).map(|i| i.to_string()).collect();
        let many = json!({"type": "object", "properties": {"a": {"enum": values}},
                          "required": ["a"], "additionalProperties": false});
        assert!(refused(many).contains("enum"));
    }
}
