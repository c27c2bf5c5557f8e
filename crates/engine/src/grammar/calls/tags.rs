//! Calls written with tags, whose values are plain text.

use super::{
    Family,
    parameters::{self, Parameter, Text},
    rules::{Rules, escaped, literal},
    tool::{Tool, json_rule},
};
use crate::EngineError;
use crate::grammar::compile::ESCAPES;

/// How a syntax writes parameters.
struct Tags {
    /// Before and behind a key.
    key: [String; 2],
    /// Closes a value.
    close: String,
    /// A line break inside either tag of a value is layout.
    with_lines: bool,
}

/// `<function=name><parameter=key>value</parameter></function>`.
pub(super) fn functions(family: &Family<'_>, rules: &mut Rules) -> Result<String, EngineError> {
    let tags = Tags {
        key: ["<parameter=".to_owned(), ">".to_owned()],
        close: "</parameter>".to_owned(),
        with_lines: true,
    };
    family.each(rules, |tool, rules| {
        let head = literal(&format!("<function={}>", tool.name));
        let parameters = tags.parameters(family, tool, rules)?;
        Ok(rules.add(
            "function",
            &format!("{head} {parameters} WS? \"</function>\""),
        ))
    })
}

/// `<invoke name="f"><parameter name="k">value</parameter></invoke>`, tags with a prefix.
pub(super) fn invokes(
    family: &Family<'_>,
    prefix: &str,
    rules: &mut Rules,
) -> Result<String, EngineError> {
    let tags = Tags {
        key: [format!("<{prefix}parameter name=\""), "\">".to_owned()],
        close: format!("</{prefix}parameter>"),
        with_lines: true,
    };
    let end = literal(&format!("</{prefix}invoke>"));
    let call = family.each(rules, |tool, rules| {
        let head = literal(&format!("<{prefix}invoke name=\"{}\">", tool.name));
        let parameters = tags.parameters(family, tool, rules)?;
        Ok(rules.add("invoke", &format!("{head} {parameters} WS? {end}")))
    })?;
    Ok(match family.is_many {
        true => format!("{call} (WS? {call})*"),
        false => call,
    })
}

/// `name<arg_key>key</arg_key><arg_value>value</arg_value>`.
pub(super) fn pairs(family: &Family<'_>, rules: &mut Rules) -> Result<String, EngineError> {
    let tags = Tags {
        key: ["<arg_key>".to_owned(), "</arg_key>".to_owned()],
        close: "</arg_value>".to_owned(),
        with_lines: false,
    };
    family.each(rules, |tool, rules| {
        let parameters = tags.parameters(family, tool, rules)?;
        Ok(rules.add("pairs", &format!("{} {parameters}", literal(&tool.name))))
    })
}

impl Tags {
    /// All parameters of a tool, in order.
    fn parameters(
        &self,
        family: &Family<'_>,
        tool: &Tool,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        let mut all = String::new();
        let Some(parameters) = parameters::of(tool)? else {
            // Names and values as the model likes.
            let value = self.text(
                family,
                &Text::Any {
                    least: 0,
                    most: None,
                },
                rules,
            );
            let key = self.key(family, "/[A-Za-z_][A-Za-z0-9_.-]{0,63}/");
            return Ok(format!("(WS? {key} {value})*"));
        };
        for Parameter {
            name,
            schema,
            is_required,
        } in parameters
        {
            if name.trim() != name || name.is_empty() || name.contains(['<', '>', '"', '\n']) {
                if is_required {
                    return tool.refuse(&format!("the parameter `{name}` cannot be written"));
                }
                continue;
            }
            let value = self.value(family, tool, &name, &schema, rules)?;
            let key = self.key(family, &literal(&name));
            let parameter = rules.add("parameter", &format!("WS? {key} {value}"));
            all.push_str(&parameter);
            all.push_str(if is_required { " " } else { "? " });
        }
        Ok(all)
    }

    fn key(&self, family: &Family<'_>, name: &str) -> String {
        let [open, close] = &self.key;
        let value = match self.with_lines {
            true => String::new(),
            false => format!("WS? {}", family.words.markup("<arg_value>")),
        };
        let (open, close) = (family.words.markup(open), family.words.markup(close));
        format!("{open} {name} {close} {value}")
    }

    /// A value with its closing tag.
    fn value(
        &self,
        family: &Family<'_>,
        tool: &Tool,
        name: &str,
        schema: &serde_json::Value,
        rules: &mut Rules,
    ) -> Result<String, EngineError> {
        if parameters::is_text(schema) {
            let text = parameters::text(tool, name, schema)?;
            return Ok(self.text(family, &text, rules));
        }
        let schema = parameters::json(tool, schema)?;
        let value = rules.add("value", &json_rule(&schema, ESCAPES));
        let close = family.words.markup(&self.close);
        Ok(format!("WS? {value} WS? {close}"))
    }

    /// A text with its closing tag. It holds neither that nor what ends the calls.
    fn text(&self, family: &Family<'_>, text: &Text, rules: &mut Rules) -> String {
        let line = if self.with_lines { "\\n?" } else { "" };
        let ends = [Some(self.close.as_str()), family.format.close.as_deref()];
        let ends: Vec<String> = ends.into_iter().flatten().map(escaped).collect();
        let inner = match text {
            Text::OneOf(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| escaped(text)).collect();
                format!("/{line}({}){line}/", texts.join("|"))
            }
            Text::Any {
                least: 0,
                most: None,
            } => "/(?s:.*)/".to_owned(),
            Text::Any { least, most } if self.with_lines => bounded(*least, *most),
            Text::Any { least, most } => format!("/(?s:.{})/", repeated(*least, *most)),
        };
        let none = format!("~/(?s:.*)({})(?s:.*)/", ends.join("|"));
        let inner = rules.terminal(&format!("{inner} & {none}"));
        match family.words.special(&self.close) {
            Some(id) => format!("{inner} <[{id}]>"),
            None => rules.until(&inner, &self.close),
        }
    }
}

/// A text of so many characters that neither begins nor ends with a line break, with line breaks
/// around it as layout.
fn bounded(least: u64, most: Option<u64>) -> String {
    let fits = |n: u64| n >= least && most.is_none_or(|most| n <= most);
    let mut texts = Vec::new();
    if fits(0) {
        texts.push(String::new());
    }
    if fits(1) {
        texts.push("[^\\n]".to_owned());
    }
    if most.is_none_or(|most| most >= 2) {
        let inner = repeated(least.saturating_sub(2), most.map(|most| most - 2));
        texts.push(format!("[^\\n](?s:.{inner})[^\\n]"));
    }
    format!("/\\n?({})\\n?/", texts.join("|"))
}

fn repeated(least: u64, most: Option<u64>) -> String {
    let most = most.map_or(String::new(), |most| most.to_string());
    format!("{{{least},{most}}}")
}
