//! Reading tool calls out of what a model wrote.
//!
//! A [`ToolSyntax`] says how a family writes its calls between its markers, and reads the text
//! between them. What cannot be read is no call: the caller gives it back as
//! content, so nothing that a model wrote is lost.

mod json;
mod literal;
mod marked;
mod schema;
mod xml;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

pub(crate) use json::JsonEnd;
pub(crate) use schema::Schemas;

/// A call as the model wrote it: a name and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParsedCall {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Json>,
}

/// How the text between the markers of a tool call is written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolSyntax {
    /// `{"name": …, "arguments": {…}}`, one or a list; `parameters` is taken for `arguments`.
    Json,
    /// `name[ARGS]{…}`, or a JSON list as in [`Json`](Self::Json).
    NamedJson {
        /// What stands between the name and the arguments.
        separator: String,
    },
    /// `<function=name><parameter=key>value</parameter></function>`.
    FunctionXml,
    /// `<invoke name="f"><parameter name="k">value</parameter></invoke>`, tags with a prefix.
    InvokeXml {
        /// What stands before `invoke` and `parameter`, such as `atem:`.
        prefix: String,
    },
    /// `name<arg_key>key</arg_key><arg_value>value</arg_value>`.
    ArgPairs,
    /// Calls in markers of their own, each `name` `separator` `{…}`.
    Sections {
        /// Opens one call.
        open: String,
        /// Stands between the name and the arguments.
        separator: String,
        /// Closes one call.
        close: String,
    },
    /// `[name(key="value", …)]`, written as Python.
    Pythonic,
    /// `call:name{key:value}` with strings in quotes of their own.
    Braces {
        /// Opens and closes a string.
        quote: String,
    },
}

impl ToolSyntax {
    /// The calls in `body`, in order; `None` if it is not wholly made of calls.
    pub(crate) fn parse(&self, body: &str, schemas: &Schemas) -> Option<Vec<ParsedCall>> {
        let body = body.trim();
        let calls = match self {
            Self::Json => json::calls(body)?,
            Self::NamedJson { separator } => json::named_calls(body, separator)?,
            Self::FunctionXml => xml::function_calls(body, schemas)?,
            Self::InvokeXml { prefix } => xml::invoke_calls(body, prefix, schemas)?,
            Self::ArgPairs => vec![xml::arg_pairs(body, schemas)?],
            Self::Sections {
                open,
                separator,
                close,
            } => marked::sections(body, open, separator, close)?,
            Self::Pythonic => literal::pythonic_calls(body)?,
            Self::Braces { quote } => vec![literal::brace_call(body, quote)?],
        };
        (!calls.is_empty()).then_some(calls)
    }

    /// Whether `body`, which is no calls, ends inside a JSON text of one: a closing marker behind it is
    /// part of that text.
    pub(crate) fn ends_in_text(&self, body: &str) -> bool {
        let body = body.trim_start();
        match self {
            Self::Json | Self::NamedJson { .. } => false,
            Self::FunctionXml => xml::ends_in_text(body, ["<parameter=", ">"], "</parameter>"),
            Self::InvokeXml { prefix } => {
                let open = format!("<{prefix}parameter name=\"");
                xml::ends_in_text(body, [&open, "\">"], &format!("</{prefix}parameter>"))
            }
            Self::ArgPairs => xml::ends_in_text(body, ["<arg_value>", ""], "</arg_value>"),
            Self::Sections {
                open,
                separator,
                close,
            } => marked::ends_in_text(body, open, separator, close),
            Self::Pythonic => json::ends_in_text(body),
            Self::Braces { .. } => false,
        }
    }

    /// Where the JSON of a call begins; `None` while its name is not complete.
    pub(crate) fn json_start(&self, body: &str) -> Option<usize> {
        match self {
            Self::NamedJson { separator } if !body.trim_start().starts_with(['[', '{']) => {
                Some(body.find(separator.as_str())? + separator.len())
            }
            _ => Some(0),
        }
    }

    /// Whether calls are JSON values, whose end shows without a close marker and in whose
    /// strings a close marker is only text.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self, Self::Json | Self::NamedJson { .. })
    }
}

/// Function names are words; anything else is not a call that somebody meant.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/'))
}

#[cfg(test)]
mod tests;
