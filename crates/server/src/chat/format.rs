//! What an answer must be like: `response_format`.

use ponder_engine::Format;
use serde_json::{Map, Value};

use super::strict;
use crate::http::{ApiError, Fields, unknown_word};

/// Bytes of a regular expression or a grammar.
const MAX_RULES_BYTES: usize = 64 << 10;

/// Reads `response_format`.
pub(crate) fn read(body: &mut Fields) -> Result<Format, ApiError> {
    let Some(format) = body.object("response_format")? else {
        return Ok(Format::Text);
    };
    of(format, false)
}

/// Reads a format. In a flat one, as the Responses API has it, the schema lies beside its type.
pub(crate) fn of(mut format: Fields, is_flat: bool) -> Result<Format, ApiError> {
    let kind = format.required_string("type")?;
    let read = match kind.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" if is_flat => return json_schema(format),
        "json_schema" => {
            let missing = ApiError::missing(format.path_of("json_schema"));
            json_schema(format.object("json_schema")?.ok_or(missing)?)?
        }
        "regex" => Format::Regex(rules(&mut format, "pattern")?),
        "grammar" => {
            format.one_of("syntax", &[("lark", ())])?;
            Format::Grammar(rules(&mut format, "grammar")?)
        }
        other => {
            let known = ["text", "json_object", "json_schema", "regex", "grammar"];
            let path = format.path_of("type");
            return Err(unknown_word(&path, other, known.into_iter()));
        }
    };
    format.finish()?;
    Ok(read)
}

/// A schema with its name.
fn json_schema(mut fields: Fields) -> Result<Format, ApiError> {
    let name = fields.required_string("name")?;
    check_name(&name, &fields.path_of("name"))?;
    // Nothing is told to the model that its prompt does not say; it is there for the reader.
    fields.string("description")?;
    let is_strict = fields.boolean("strict")?.unwrap_or_default();
    let path = fields.path_of("schema");
    let schema = fields.map("schema")?;
    if is_strict && schema.is_none() {
        return Err(ApiError::missing(path));
    }
    let schema = schema.unwrap_or_else(|| Map::from_iter([("type".to_owned(), "object".into())]));
    let schema = Value::Object(schema);
    if is_strict {
        strict::check(&schema, &path, &format!("response_format '{name}'"))?;
    }
    fields.finish()?;
    Ok(Format::JsonSchema(schema))
}

/// A name of a schema or a function: up to 64 letters, digits, `_` and `-`.
pub(crate) fn check_name(name: &str, path: &str) -> Result<(), ApiError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match !name.is_empty() && name.len() <= 64 && name.bytes().all(is_part) {
        true => Ok(()),
        false => Err(ApiError::invalid(
            path,
            format!(
                "Invalid '{path}': a name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -."
            ),
        )),
    }
}

fn rules(format: &mut Fields, name: &str) -> Result<String, ApiError> {
    let rules = format.required_string(name)?;
    let path = format.path_of(name);
    match rules.len() {
        0 => Err(ApiError::invalid(
            path.as_str(),
            format!("'{path}' is empty."),
        )),
        1..=MAX_RULES_BYTES => Ok(rules),
        _ => Err(ApiError::invalid(
            path.as_str(),
            format!("'{path}' has more than {MAX_RULES_BYTES} bytes."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_json(format: Value) -> Result<Format, ApiError> {
        read(&mut Fields::new(json!({"response_format": format}), "")?)
    }

    #[test]
    fn every_format_is_read() {
        assert_eq!(read_json(json!(null)), Ok(Format::Text));
        assert_eq!(read_json(json!({"type": "text"})), Ok(Format::Text));
        let object = read_json(json!({"type": "json_object"}));
        assert_eq!(object, Ok(Format::JsonObject));
        let regex = read_json(json!({"type": "regex", "pattern": "[0-9]+"}));
        assert_eq!(regex, Ok(Format::Regex("[0-9]+".to_owned())));
        let grammar = json!({"type": "grammar", "syntax": "lark", "grammar": "start: \"a\""});
        assert_eq!(
            read_json(grammar),
            Ok(Format::Grammar("start: \"a\"".to_owned()))
        );
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}},
                            "required": ["a"], "additionalProperties": false});
        let format = json!({"type": "json_schema",
                            "json_schema": {"name": "x", "strict": true, "schema": schema}});
        assert_eq!(read_json(format), Ok(Format::JsonSchema(schema)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let loose = json!({"type": "object", "properties": {}});
        for (format, param) in [
            (json!("json"), "response_format"),
            (json!({}), "response_format.type"),
            (json!({"type": "xml"}), "response_format.type"),
            (json!({"type": "text", "x": 1}), "response_format.x"),
            (
                json!({"type": "json_schema"}),
                "response_format.json_schema",
            ),
            (
                json!({"type": "json_schema", "json_schema": {"schema": {}}}),
                "response_format.json_schema.name",
            ),
            (
                json!({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}),
                "response_format.json_schema.name",
            ),
            (
                json!({"type": "json_schema", "json_schema": {"name": "a", "schema": loose, "strict": true}}),
                "response_format.json_schema.schema",
            ),
            (json!({"type": "regex"}), "response_format.pattern"),
            (
                json!({"type": "regex", "pattern": ""}),
                "response_format.pattern",
            ),
            (
                json!({"type": "grammar", "grammar": "x", "syntax": "gbnf"}),
                "response_format.syntax",
            ),
        ] {
            let error = read_json(format.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{format}");
        }
    }
}
