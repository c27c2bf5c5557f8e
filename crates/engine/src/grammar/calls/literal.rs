//! Calls written as literals: Python's, and braces with bare keys.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Family,
    parameters::{self, Parameter, Text},
    rules::{Rules, escaped, literal},
    tool::{Tool, json_rule},
};
use crate::EngineError;
use crate::grammar::compile::ESCAPES;

/// Letters that may follow a backslash in a Python text as in a JSON text.
const PYTHON_ESCAPES: &str = "nrt\\\"";

/// `[name(key=value, …), …]`; values are written as JSON, which the reader takes too.
pub(super) fn pythonic(family: &Family<'_>, rules: &mut Rules) -> Result<String, EngineError> {
    let call = family.each(rules, |tool, rules| {
        let Some(all) = parameters::of(tool)? else {
            let value = rules.add("value", &json_rule(&Value::Bool(true), PYTHON_ESCAPES));
            let pair = format!("/[A-Za-z_][A-Za-z0-9_]{{0,63}}=/ {value}");
            let name = literal(&format!("{}(", tool.name));
            return Ok(rules.add(
                "python",
                &format!("{name} ({pair} (\",\" WS? {pair})*)? \")\""),
            ));
        };
        let mut items = Vec::new();
        for Parameter {
            name: key,
            schema,
            is_required,
        } in all
        {
            let checked = parameters::json(tool, &schema)?;
            let mut value = rules.add("value", &json_rule(&checked, PYTHON_ESCAPES));
            if schema["type"] == "boolean" && schema.get("enum").is_none() {
                value = format!("({value} | \"True\" | \"False\")");
            }
            let key = if is_word(&key) {
                literal(&key)
            } else {
                literal(&literal(&key))
            };
            items.push((
                rules.add("pair", &format!("{key} \"=\" {value}")),
                is_required,
            ));
        }
        let inner = sequence(&items, rules);
        let name = literal(&format!("{}(", tool.name));
        Ok(rules.add("python", &format!("{name} {inner} \")\"")))
    })?;
    Ok(match family.is_many {
        true => format!("\"[\" {call} (\",\" WS? {call})* \"]\""),
        false => format!("\"[\" {call} \"]\""),
    })
}

/// `call:name{key:value, …}`, texts in quotes of their own.
pub(super) fn braces(
    family: &Family<'_>,
    quote: &str,
    rules: &mut Rules,
) -> Result<String, EngineError> {
    family.each(rules, |tool, rules| {
        let mut braces = Braces::new(family, tool, quote);
        let inner = match parameters::of(tool)? {
            Some(all) => braces.pairs(all, rules)?,
            None => braces.any_pairs(rules),
        };
        let head = literal(&format!("call:{}{{", tool.name));
        Ok(rules.add("braces", &format!("{head} {inner} \"}}\"")))
    })
}

/// Items with commas between them, of which some may be left out.
fn sequence(items: &[(String, bool)], rules: &mut Rules) -> String {
    // What follows where nothing has come, and where something has.
    let (mut first, mut next) = ("\"\"".to_owned(), "\"\"".to_owned());
    for (item, is_required) in items.iter().rev() {
        let behind = format!("\",\" WS? {item} {next}");
        let begun = format!("{item} {next}");
        (first, next) = match is_required {
            true => (rules.add("first", &begun), rules.add("next", &behind)),
            false => (
                rules.add("first", &format!("{begun} | {first}")),
                rules.add("next", &format!("{behind} | {next}")),
            ),
        };
    }
    first
}

/// What the reader takes for a bare key.
fn is_word(key: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !key.is_empty() && key.len() <= 256 && key.chars().all(is_part)
}

/// Values in braces, for one tool.
struct Braces<'a> {
    tool: &'a Tool,
    /// Opens a text.
    open: String,
    /// Closes a text, as a token; else it is the quote itself.
    close: Option<u32>,
    quote: &'a str,
    /// What no text holds.
    never: String,
    any: Option<String>,
    /// Rules of definitions by what refers to them.
    definitions: HashMap<String, String>,
}

impl<'a> Braces<'a> {
    fn new(family: &Family<'_>, tool: &'a Tool, quote: &'a str) -> Self {
        let ends = [Some(quote), family.format.close.as_deref()];
        let ends: Vec<String> = ends.into_iter().flatten().map(escaped).collect();
        Self {
            tool,
            open: family.words.markup(quote),
            close: family.words.special(quote),
            quote,
            never: format!("~/(?s:.*)({})(?s:.*)/", ends.join("|")),
            any: None,
            definitions: HashMap::new(),
        }
    }

    fn pairs(&mut self, all: Vec<Parameter>, rules: &mut Rules) -> Result<String, EngineError> {
        let mut items = Vec::new();
        for Parameter {
            name: key,
            schema,
            is_required,
        } in all
        {
            let value = self.value(&key, &schema, rules)?;
            let key = match is_word(&key) {
                true => literal(&key),
                false => self.text(&Text::OneOf(vec![key]), rules),
            };
            items.push((
                rules.add("pair", &format!("{key} \":\" {value}")),
                is_required,
            ));
        }
        Ok(sequence(&items, rules))
    }

    /// Pairs of any names and values.
    fn any_pairs(&mut self, rules: &mut Rules) -> String {
        let any = self.any(rules);
        let pair = format!("/[A-Za-z_][A-Za-z0-9_]{{0,63}}/ \":\" {any}");
        rules.add("pairs", &format!("({pair} (\",\" {pair})*)?"))
    }

    /// Any value.
    fn any(&mut self, rules: &mut Rules) -> String {
        if let Some(any) = &self.any {
            return any.clone();
        }
        let name = rules.reserve("any");
        self.any = Some(name.clone());
        let text = self.text(
            &Text::Any {
                least: 0,
                most: None,
            },
            rules,
        );
        let scalar = json_rule(
            &serde_json::json!({"type": ["number", "boolean", "null"]}),
            ESCAPES,
        );
        let pairs = self.any_pairs(rules);
        let body = format!(
            "{text} | {scalar} | \"[\" ({name} (\",\" {name})*)? \"]\" | \"{{\" {pairs} \"}}\""
        );
        rules.set(&name, &body);
        name
    }

    fn value(
        &mut self,
        name: &str,
        schema: &Value,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        let Value::Object(map) = schema else {
            return Ok(self.any(rules));
        };
        if let Some(target) = map.get("$ref").and_then(Value::as_str) {
            return self.definition(name, target, rules);
        }
        if let Some(options) = map.get("anyOf").and_then(Value::as_array) {
            let options: Result<Vec<String>, EngineError> = options
                .iter()
                .map(|option| self.value(name, &self.tool.rooted(option), rules))
                .collect();
            return Ok(rules.add("any_of", &options?.join(" | ")));
        }
        let constants = match (map.get("const"), map.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => vec![value.clone()],
            (None, Some(values)) => values.clone(),
            (None, None) => return self.typed(name, schema, rules),
        };
        let constants: Vec<String> = constants
            .iter()
            .map(|value| self.constant(value, rules))
            .collect();
        Ok(rules.add("constant", &constants.join(" | ")))
    }

    fn constant(&self, value: &Value, rules: &mut Rules) -> String {
        match value {
            Value::String(text) => self.text(&Text::OneOf(vec![text.clone()]), rules),
            Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| self.constant(item, rules))
                    .collect();
                format!("\"[\" {} \"]\"", items.join(" \",\" "))
            }
            Value::Object(map) => {
                let pairs: Vec<String> = map
                    .iter()
                    .map(|(key, value)| {
                        let key = self.text(&Text::OneOf(vec![key.clone()]), rules);
                        format!("{key} \":\" {}", self.constant(value, rules))
                    })
                    .collect();
                format!("\"{{\" {} \"}}\"", pairs.join(" \",\" "))
            }
            scalar => literal(&scalar.to_string()),
        }
    }

    fn definition(
        &mut self,
        name: &str,
        target: &str,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        if let Some(rule) = self.definitions.get(target) {
            return Ok(rule.clone());
        }
        let found = target
            .strip_prefix('#')
            .and_then(|path| self.tool.schema.pointer(path));
        let Some(schema) = found.cloned() else {
            return self.unkept(name, "$ref", rules);
        };
        let rule = rules.reserve("definition");
        self.definitions.insert(target.to_owned(), rule.clone());
        let body = self.value(name, &self.tool.rooted(&schema), rules)?;
        rules.set(&rule, &body);
        Ok(rule)
    }

    fn typed(
        &mut self,
        name: &str,
        schema: &Value,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind.as_str()],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return self.unkept(name, "type", rules),
        };
        let mut values = Vec::new();
        for kind in kinds {
            values.push(match kind {
                "string" => {
                    let text = parameters::text(self.tool, name, schema)?;
                    self.text(&text, rules)
                }
                "object" => {
                    let inner = Tool {
                        schema: schema.clone(),
                        ..self.tool.clone()
                    };
                    match inner.parameters() {
                        Some(all) => {
                            let pairs = self.pairs(all, rules)?;
                            format!("\"{{\" {pairs} \"}}\"")
                        }
                        None if self.tool.is_strict => {
                            return self.unkept(name, "properties", rules);
                        }
                        None => format!("\"{{\" {} \"}}\"", self.any_pairs(rules)),
                    }
                }
                "array" => self.list(name, schema, rules)?,
                kind => {
                    let mut schema = schema.clone();
                    schema["type"] = Value::from(kind);
                    let schema = parameters::json(self.tool, &schema)?;
                    json_rule(&schema, ESCAPES)
                }
            });
        }
        Ok(rules.add("value", &values.join(" | ")))
    }

    fn list(
        &mut self,
        name: &str,
        schema: &Value,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        for keyword in ["prefixItems", "minItems", "maxItems", "additionalItems"] {
            if self.tool.is_strict && schema.get(keyword).is_some() {
                return self.unkept(name, keyword, rules);
            }
        }
        let item = self.value(name, &self.tool.rooted(&schema["items"]), rules)?;
        Ok(format!("\"[\" ({item} (\",\" {item})*)? \"]\""))
    }

    /// What stands for a schema that is not understood.
    fn unkept(
        &mut self,
        name: &str,
        keyword: &str,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        match self.tool.is_strict {
            true => self.tool.refuse(&format!(
                "`{keyword}` of `{name}` cannot be kept to as this model writes its calls"
            )),
            false => Ok(self.any(rules)),
        }
    }

    /// A text in its quotes.
    fn text(&self, text: &Text, rules: &mut Rules) -> String {
        let inner = match text {
            Text::OneOf(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| escaped(text)).collect();
                format!("/({})/", texts.join("|"))
            }
            Text::Any {
                least: 0,
                most: None,
            } => "/(?s:.*)/".to_owned(),
            Text::Any { least, most } => {
                let most = most.map_or(String::new(), |most| most.to_string());
                format!("/(?s:.{{{least},{most}}})/")
            }
        };
        let inner = rules.terminal(&format!("{inner} & {}", self.never));
        let open = &self.open;
        match self.close {
            Some(id) => format!("{open} {inner} <[{id}]>"),
            None => format!("{open} {}", rules.until(&inner, self.quote)),
        }
    }
}
