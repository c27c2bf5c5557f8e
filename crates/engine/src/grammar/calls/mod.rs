//! Grammars of tool calls: what a family writes from its opening marker to the end of its calls.
//!
//! What a grammar lets through, the family's reader in `ponder_tokenizer::tools` reads as that call.
//! Arguments keep to the tool's schema: exactly where its declaration says `strict`; otherwise as
//! far as the schema is understood, and are a JSON object in any case.

mod headers;
mod json;
mod literal;
mod parameters;
mod rules;
mod tags;
mod tool;

use ponder_tokenizer::{
    split::{ChatFormat, ToolFormat},
    tools::ToolSyntax,
};

use super::words::Words;
use crate::EngineError;

use rules::Rules;

pub(super) use rules::literal;

pub(super) use tool::{Tool, declared};

/// What a grammar of calls is made of.
struct Family<'a> {
    tools: &'a [Tool],
    format: &'a ToolFormat,
    words: &'a Words,
    /// Several calls may follow each other.
    is_many: bool,
}

/// Which calls may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Exactly one.
    pub(super) is_one: bool,
    /// Also without a marker, where the family does that.
    pub(super) is_bare: bool,
}

/// A grammar of calls of these tools, as text for the library.
///
/// # Errors
/// Where the family calls no tools, or not in a way that keeps to a schema that is to be kept to.
pub(super) fn grammar(
    format: &ChatFormat,
    words: &Words,
    tools: &[Tool],
    kind: Kind,
) -> Result<String, EngineError> {
    let mut rules = Rules::new();
    if let Some(headers) = &format.headers {
        let start = headers::calls(
            headers,
            format.tools.as_ref(),
            words,
            tools,
            kind,
            &mut rules,
        )?;
        return Ok(rules.finish(&start));
    }
    let Some(tools_format) = &format.tools else {
        return Err(EngineError::Format(format!(
            "the model's family ({}) has no known way to call tools",
            format.name
        )));
    };
    let family = Family {
        tools,
        format: tools_format,
        words,
        is_many: !kind.is_one,
    };
    let mut block = family.block(&mut rules)?;
    if kind.is_bare && tools_format.bare {
        let call = json::objects(&family, &mut rules)?;
        block = format!("({block} | {call})");
    }
    let start = match family.is_many {
        true => format!("WS? {block} (WS? {block})* WS?"),
        false => format!("WS? {block}"),
    };
    Ok(rules.finish(&start))
}

impl Family<'_> {
    /// Calls between their markers.
    fn block(&self, rules: &mut Rules) -> Result<String, EngineError> {
        let inner = self.inner(rules)?;
        let open = self.words.markup(&self.format.open);
        let close = match &self.format.close {
            Some(close) => format!("WS? {}", self.words.markup(close)),
            None => String::new(),
        };
        Ok(rules.add("block", &format!("{open} WS? {inner} {close}")))
    }

    /// Calls without the markers around them.
    fn inner(&self, rules: &mut Rules) -> Result<String, EngineError> {
        match &self.format.syntax {
            ToolSyntax::Json => json::calls(self, rules),
            ToolSyntax::NamedJson { separator } => json::named(self, separator, rules),
            ToolSyntax::Sections {
                open,
                separator,
                close,
            } => json::sections(self, [open, separator, close], rules),
            ToolSyntax::FunctionXml => tags::functions(self, rules),
            ToolSyntax::InvokeXml { prefix } => tags::invokes(self, prefix, rules),
            ToolSyntax::ArgPairs => tags::pairs(self, rules),
            ToolSyntax::Pythonic => literal::pythonic(self, rules),
            ToolSyntax::Braces { quote } => literal::braces(self, quote, rules),
        }
    }

    /// A grammar for each tool, one of which is written.
    fn each(
        &self,
        rules: &mut Rules,
        mut call: impl FnMut(&Tool, &mut Rules) -> Result<String, EngineError>,
    ) -> Result<String, EngineError> {
        let calls: Result<Vec<String>, EngineError> =
            self.tools.iter().map(|tool| call(tool, rules)).collect();
        Ok(rules.add("call", &calls?.join(" | ")))
    }
}

#[cfg(test)]
mod tests;
