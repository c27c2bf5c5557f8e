//! Tools as they are declared.

use serde_json::{Map, Value, json};

use super::parameters::Parameter;
use crate::EngineError;
use crate::grammar::{
    compile::{Compiler, with_settings},
    schema,
};

/// Tools that may be declared.
const MAX_TOOLS: usize = 512;
/// Bytes of a tool's name.
const MAX_NAME: usize = 256;

/// A tool that may be called.
#[derive(Clone, Debug)]
pub(in crate::grammar) struct Tool {
    pub(super) name: String,
    /// What its arguments are like: a schema that was checked.
    pub(super) schema: Value,
    /// Its schema is kept to exactly.
    pub(super) is_strict: bool,
}

/// The tools that may be called: of those that are declared the ones that `allowed` names, all where
/// it names none.
///
/// # Errors
/// A declaration without a name that a call can have, a name that is not declared, a schema that is
/// to be kept to and cannot be.
pub(in crate::grammar) fn declared(
    declarations: &[Value],
    allowed: &[String],
    compiler: &Compiler,
) -> Result<Vec<Tool>, EngineError> {
    if declarations.len() > MAX_TOOLS {
        let n = declarations.len();
        return refuse(&format!("{n} tools are declared, {MAX_TOOLS} are the most"));
    }
    let name = |tool: &Value| {
        let function = tool.get("function").unwrap_or(tool);
        function["name"].as_str().map(str::to_owned)
    };
    for wanted in allowed {
        if !declarations
            .iter()
            .any(|tool| name(tool).as_ref() == Some(wanted))
        {
            return refuse(&format!("`{wanted}` is allowed, but not declared"));
        }
    }
    let mut tools: Vec<Tool> = Vec::new();
    for (index, declaration) in declarations.iter().enumerate() {
        let Some(name) = name(declaration).filter(|name| is_name(name)) else {
            return refuse(&format!(
                "declaration {index} has no name of letters, digits, `_`, `-` and `.`"
            ));
        };
        let is_wanted = allowed.is_empty() || allowed.contains(&name);
        if is_wanted && !tools.iter().any(|tool| tool.name == name) {
            tools.push(tool(name, declaration, compiler)?);
        }
    }
    match tools.is_empty() {
        true => refuse("no tool is declared that could be called"),
        false => Ok(tools),
    }
}

fn refuse<T>(message: &str) -> Result<T, EngineError> {
    Err(EngineError::Format(format!("tools: {message}")))
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_part)
}

fn tool(name: String, declaration: &Value, compiler: &Compiler) -> Result<Tool, EngineError> {
    let function = declaration.get("function").unwrap_or(declaration);
    let is_strict = [function, declaration]
        .iter()
        .any(|part| part["strict"].as_bool() == Some(true));
    let schema = match &function["parameters"] {
        Value::Null => {
            Ok(json!({"type": "object", "properties": {}, "additionalProperties": false}))
        }
        schema => object_schema(schema, compiler),
    };
    let schema = match schema {
        Ok(schema) => schema,
        Err(error) if is_strict => {
            return Err(EngineError::Format(format!(
                "tool `{name}`: {}",
                inner(&error)
            )));
        }
        Err(_) => json!({"type": "object"}),
    };
    Ok(Tool {
        name,
        schema,
        is_strict,
    })
}

/// A schema of objects that was checked.
fn object_schema(schema: &Value, compiler: &Compiler) -> Result<Value, EngineError> {
    let mut schema = schema::checked(schema)?;
    if let Value::Object(map) = &mut schema {
        map.entry("type").or_insert_with(|| json!("object"));
    }
    compiler.check_schema(&schema)?;
    Ok(schema)
}

/// A message without what stands before each of its kind.
fn inner(error: &EngineError) -> String {
    match error {
        EngineError::Format(message) => message.clone(),
        error => error.to_string(),
    }
}

impl Tool {
    /// The arguments as JSON. `escapes`: the letters that may follow a backslash in a text.
    pub(super) fn arguments(&self, escapes: &str) -> String {
        json_rule(&self.schema, escapes)
    }

    /// An error about this tool.
    pub(super) fn refuse<T>(&self, message: &str) -> Result<T, EngineError> {
        Err(EngineError::Format(format!(
            "tool `{}`: {message}",
            self.name
        )))
    }

    /// The parameters in order; `None` where the
    /// schema is not a plain list of them.
    pub(super) fn parameters(&self) -> Option<Vec<Parameter>> {
        const PLAIN: [&str; 13] = [
            "type",
            "properties",
            "required",
            "additionalProperties",
            "title",
            "description",
            "$defs",
            "definitions",
            "$schema",
            "$comment",
            "examples",
            "default",
            "deprecated",
        ];
        let map = self.schema.as_object()?;
        let is_object = map.get("type") == Some(&json!("object"));
        if !is_object || !map.keys().all(|key| PLAIN.contains(&key.as_str())) {
            return None;
        }
        let empty = Map::new();
        let properties = match map.get("properties") {
            Some(properties) => properties.as_object()?,
            None if map.get("additionalProperties") == Some(&json!(false)) => &empty,
            None => return None,
        };
        let required: Vec<&str> = match map.get("required") {
            Some(names) => names
                .as_array()?
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()?,
            None => Vec::new(),
        };
        if !required.iter().all(|&name| properties.contains_key(name)) {
            return None;
        }
        let parameter = |(name, schema): (&String, &Value)| Parameter {
            name: name.clone(),
            schema: self.rooted(schema),
            is_required: required.contains(&name.as_str()),
        };
        Some(properties.iter().map(parameter).collect())
    }

    /// A part of the schema with the definitions that it may refer to.
    pub(super) fn rooted(&self, part: &Value) -> Value {
        let Value::Object(part) = part else {
            return part.clone();
        };
        let mut part = part.clone();
        for key in ["$defs", "definitions", "$schema"] {
            if let Some(definitions) = self.schema.get(key) {
                part.insert(key.to_owned(), definitions.clone());
            }
        }
        Value::Object(part)
    }
}

/// A JSON value of a schema that was checked, as part of a grammar.
pub(super) fn json_rule(schema: &Value, escapes: &str) -> String {
    let schema = match schema {
        Value::Bool(true) => json!({}),
        schema => schema.clone(),
    };
    format!("%json {}", with_settings(schema, escapes))
}
