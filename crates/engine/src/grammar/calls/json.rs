//! Calls whose arguments are JSON.

use super::{
    Family,
    rules::{Rules, escaped, literal},
    tool::Tool,
};
use crate::EngineError;
use crate::grammar::compile::ESCAPES;

/// White space inside an object: as much as in any document.
const SPACE: &str = "( |\\n( {0,20}|\\t{0,10}))?";

/// One call, or a list of them.
pub(super) fn calls(family: &Family<'_>, rules: &mut Rules) -> Result<String, EngineError> {
    let call = objects(family, rules)?;
    let list = list(family, &call);
    Ok(rules.add("calls", &format!("{call} | {list}")))
}

fn list(family: &Family<'_>, call: &str) -> String {
    match family.is_many {
        true => format!("\"[\" WS? {call} (WS? \",\" WS? {call})* WS? \"]\""),
        false => format!("\"[\" WS? {call} WS? \"]\""),
    }
}

/// `{"name": …, "arguments": {…}}`.
pub(super) fn objects(family: &Family<'_>, rules: &mut Rules) -> Result<String, EngineError> {
    family.each(rules, |tool, rules| {
        let pair = |key: &str, value: &str| format!("\"{key}\"{SPACE}:{SPACE}{value}");
        let kind = pair("type", &format!("\"function\"{SPACE},{SPACE}"));
        let name = pair(
            "name",
            &format!("\"{}\"{SPACE},{SPACE}", escaped(&tool.name)),
        );
        let arguments = pair("(arguments|parameters)", "");
        let head = format!("/\\{{{SPACE}({kind})?{name}{arguments}/");
        let head = rules.terminal(&head);
        let arguments = self::arguments(tool, rules);
        Ok(rules.add("object", &format!("{head} {arguments} WS? \"}}\"")))
    })
}

/// The arguments of a tool.
pub(super) fn arguments(tool: &Tool, rules: &mut Rules) -> String {
    rules.add("arguments", &tool.arguments(ESCAPES))
}

/// `name` `separator` `{…}`; of vocabularies without the separator, a list of objects.
pub(super) fn named(
    family: &Family<'_>,
    separator: &str,
    rules: &mut Rules,
) -> Result<String, EngineError> {
    if family.words.special(separator).is_none() {
        let call = objects(family, rules)?;
        return Ok(rules.add("calls", &list(family, &call)));
    }
    let separator = family.words.markup(separator);
    // Some versions give each call an id.
    let id = match family.words.special("[CALL_ID]") {
        Some(id) => format!("(<[{id}]> /[A-Za-z0-9]{{1,16}}/)?"),
        None => String::new(),
    };
    family.each(rules, |tool, rules| {
        let arguments = arguments(tool, rules);
        let name = literal(&tool.name);
        Ok(rules.add("named", &format!("{name} {id} {separator} WS? {arguments}")))
    })
}

/// Each call in markers of its own, in one of two dialects.
pub(super) fn sections(
    family: &Family<'_>,
    markers: [&String; 3],
    rules: &mut Rules,
) -> Result<String, EngineError> {
    let [open, separator, close] = markers.map(|marker| family.words.markup(marker));
    let section = family.each(rules, |tool, rules| {
        let arguments = arguments(tool, rules);
        let (name, fence) = (literal(&tool.name), literal("\n```json\n"));
        let plain = format!(
            "({name} | \"functions.\" {name} \":\" /[0-9]{{1,3}}/) {separator} WS? {arguments} WS?"
        );
        let fenced = format!(
            "\"function\" {separator} {name} {fence} {arguments} {}",
            literal("\n```")
        );
        Ok(rules.add("section", &format!("{open} ({plain} | {fenced}) {close}")))
    })?;
    Ok(match family.is_many {
        true => format!("{section} (WS? {section})*"),
        false => section,
    })
}
