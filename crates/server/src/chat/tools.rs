//! Which tools may be called, and which must.

use std::collections::HashSet;

use ponder_engine::{Request, ToolChoice};
use serde_json::Value;

use super::{format::check_name, strict};
use crate::http::{ApiError, Fields, unknown_word, wrong_type};

/// Tools of a request.
pub(crate) const MAX_TOOLS: usize = 128;

/// Reads `tools`, `tool_choice` and `parallel_tool_calls` into a request.
pub(crate) fn read(body: &mut Fields, request: &mut Request) -> Result<(), ApiError> {
    let path = body.path_of("tools");
    let tools = body.array("tools")?.unwrap_or_default();
    if tools.len() > MAX_TOOLS {
        let message = format!("'{path}' may hold {MAX_TOOLS} tools at most.");
        return Err(ApiError::invalid(path, message));
    }
    let mut names = HashSet::new();
    for (i, tool) in tools.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name = check(tool, &path)?;
        if !names.insert(name.clone()) {
            let path = format!("{path}.function.name");
            let message = format!("Invalid '{path}': there are two tools called '{name}'.");
            return Err(ApiError::invalid(path, message));
        }
    }
    request.tools = tools;
    let is_parallel = body.boolean("parallel_tool_calls")?.unwrap_or(true);
    request.one_tool_call = !is_parallel;
    choice(body, request, &names)
}

/// Checks a declaration and gives its name. It is handed to the template as it was written.
fn check(tool: &Value, path: &str) -> Result<String, ApiError> {
    let mut fields = Fields::new(tool.clone(), path)?;
    function_type(&mut fields)?;
    let missing = ApiError::missing(fields.path_of("function"));
    let function = fields.object("function")?.ok_or(missing)?;
    fields.finish()?;
    declaration(function)
}

/// Checks name, description, parameters and `strict` of a function; also a tool of the Responses API,
/// which has them one level higher.
pub(crate) fn declaration(mut function: Fields) -> Result<String, ApiError> {
    let name = function.required_string("name")?;
    check_name(&name, &function.path_of("name"))?;
    function.string("description")?;
    let is_strict = function.boolean("strict")?.unwrap_or_default();
    let path = function.path_of("parameters");
    let parameters = function.map("parameters")?.map(Value::Object);
    if let (true, Some(schema)) = (is_strict, &parameters) {
        strict::check(schema, &path, &format!("function '{name}'"))?;
    }
    function.finish()?;
    Ok(name)
}

fn function_type(fields: &mut Fields) -> Result<(), ApiError> {
    let kind = fields.required_string("type")?;
    match kind.as_str() {
        "function" => Ok(()),
        "custom" => Err(ApiError::unsupported(
            fields.path_of("type"),
            "custom tools are not supported; declare a function",
        )),
        other => Err(unknown_word(
            &fields.path_of("type"),
            other,
            ["function"].into_iter(),
        )),
    }
}

/// What `tool_choice` may say in a word.
pub(crate) const MODES: [(&str, ToolChoice); 3] = [
    ("none", ToolChoice::None),
    ("auto", ToolChoice::Auto),
    ("required", ToolChoice::Required),
];

fn choice(
    body: &mut Fields,
    request: &mut Request,
    names: &HashSet<String>,
) -> Result<(), ApiError> {
    let path = body.path_of("tool_choice");
    let Some(choice) = body.take("tool_choice") else {
        return Ok(());
    };
    match choice {
        Value::String(mode) => {
            let found = MODES.iter().find(|(name, _)| *name == mode);
            let known = MODES.iter().map(|(name, _)| *name);
            let unknown = || unknown_word(&path, &mode, known);
            request.tool_choice = found.map(|(_, choice)| *choice).ok_or_else(unknown)?;
        }
        choice @ Value::Object(_) => object_choice(Fields::new(choice, &path)?, request)?,
        other => return Err(wrong_type(&path, "a string or an object", &other)),
    }
    if names.is_empty() && request.tool_choice == ToolChoice::Required {
        return Err(ApiError::invalid(
            path.as_str(),
            format!("'{path}' is only allowed when 'tools' are specified."),
        ));
    }
    let unknown = request
        .allowed_tools
        .iter()
        .find(|name| !names.contains(*name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(ApiError::invalid(
            path.as_str(),
            format!("Invalid '{path}': no tool in 'tools' is called '{name:.100}'."),
        )),
    }
}

fn object_choice(mut choice: Fields, request: &mut Request) -> Result<(), ApiError> {
    let kind = choice.required_string("type")?;
    if kind != "allowed_tools" {
        request.allowed_tools = vec![name_of(Some(kind), choice)?];
        request.tool_choice = ToolChoice::Required;
        // One tool is named, so it is called once.
        request.one_tool_call = true;
        return Ok(());
    }
    let missing = ApiError::missing(choice.path_of("allowed_tools"));
    let mut allowed = choice.object("allowed_tools")?.ok_or(missing)?;
    choice.finish()?;
    let missing = ApiError::missing(allowed.path_of("mode"));
    request.tool_choice = allowed.one_of("mode", &MODES[1..])?.ok_or(missing)?;
    let path = allowed.path_of("tools");
    let tools = allowed.array("tools")?.unwrap_or_default();
    allowed.finish()?;
    if tools.is_empty() {
        let message = format!("'{path}' must name at least one tool.");
        return Err(ApiError::invalid(path, message));
    }
    let names = tools.into_iter().enumerate().map(|(i, tool)| {
        let mut tool = Fields::new(tool, &format!("{path}[{i}]"))?;
        let kind = tool.string("type")?;
        name_of(kind, tool)
    });
    request.allowed_tools = names.collect::<Result<_, _>>()?;
    Ok(())
}

/// The name in `{"type": "function", "function": {"name": …}}`, of which the type has been read.
fn name_of(kind: Option<String>, mut fields: Fields) -> Result<String, ApiError> {
    if kind.as_deref() != Some("function") {
        let path = fields.path_of("type");
        return Err(match kind {
            None => ApiError::missing(path),
            Some(kind) if kind == "custom" => {
                ApiError::unsupported(path, "custom tools are not supported")
            }
            Some(kind) => unknown_word(&path, &kind, ["function", "allowed_tools"].into_iter()),
        });
    }
    let missing = ApiError::missing(fields.path_of("function"));
    let mut function = fields.object("function")?.ok_or(missing)?;
    let name = function.required_string("name")?;
    function.finish()?;
    fields.finish()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    fn read_json(body: Value) -> Result<Request, ApiError> {
        let mut request = Request::default();
        let mut fields = Fields::new(body, "")?;
        read(&mut fields, &mut request)?;
        fields.finish()?;
        Ok(request)
    }

    #[test]
    fn every_choice_is_read() {
        let with = |choice: Value| {
            let body = json!({"tools": [tool("f"), tool("g")], "tool_choice": choice});
            read_json(body).expect("a request")
        };
        assert_eq!(with(json!(null)).tool_choice, ToolChoice::Auto);
        assert_eq!(with(json!("none")).tool_choice, ToolChoice::None);
        assert_eq!(with(json!("required")).tool_choice, ToolChoice::Required);
        let named = with(json!({"type": "function", "function": {"name": "g"}}));
        assert_eq!(named.tool_choice, ToolChoice::Required);
        assert_eq!(
            (named.allowed_tools, named.one_tool_call),
            (vec!["g".to_owned()], true)
        );
        let some = with(json!({"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}));
        assert_eq!(some.tool_choice, ToolChoice::Auto);
        assert_eq!(some.allowed_tools, ["f"]);
        let one = read_json(json!({"tools": [tool("f")], "parallel_tool_calls": false}));
        assert!(one.expect("a request").one_tool_call);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let custom = json!({"type": "custom", "custom": {"name": "x"}});
        for (body, param) in [
            (json!({"tools": [custom]}), "tools[0].type"),
            (
                json!({"tools": [{"type": "function"}]}),
                "tools[0].function",
            ),
            (json!({"tools": [tool("a b")]}), "tools[0].function.name"),
            (
                json!({"tools": [tool("f"), tool("f")]}),
                "tools[1].function.name",
            ),
            (json!({"tools": {}}), "tools"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [tool("f")], "tool_choice": "some"}),
                "tool_choice",
            ),
            (
                json!({"tools": [tool("f")],
                       "tool_choice": {"type": "function", "function": {"name": "g"}}}),
                "tool_choice",
            ),
            (
                json!({"tools": [tool("f")], "tool_choice": {"type": "allowed_tools",
                       "allowed_tools": {"mode": "auto", "tools": []}}}),
                "tool_choice.allowed_tools.tools",
            ),
            (
                json!({"tools": [{"type": "function", "function": {
                    "name": "f", "strict": true, "parameters": {"type": "object"}}}]}),
                "tools[0].function.parameters",
            ),
        ] {
            let error = read_json(body.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }
}
