//! Tools in this interface's shape, which lies one level flatter than that of chat completions.

use std::collections::HashSet;

use ponder_engine::{Request, ToolChoice};
use serde_json::{Value, json};

use crate::chat::tools::{MAX_TOOLS, MODES, declaration};
use crate::http::{ApiError, Fields, unknown_word, wrong_type};

/// What a response repeats of them.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) tools: Vec<Value>,
    pub(super) tool_choice: Value,
    pub(super) parallel_tool_calls: bool,
}

/// Reads `tools`, `tool_choice` and `parallel_tool_calls` into a request.
pub(super) fn read(body: &mut Fields, request: &mut Request) -> Result<Echo, ApiError> {
    let tools = body.array("tools")?.unwrap_or_default();
    if tools.len() > MAX_TOOLS {
        let message = format!("'tools' may hold {MAX_TOOLS} tools at most.");
        return Err(ApiError::invalid("tools", message));
    }
    let (mut names, mut echo) = (HashSet::new(), Vec::new());
    for (i, tool) in tools.into_iter().enumerate() {
        let path = format!("tools[{i}]");
        let (name, shown) = check(&tool, &path)?;
        if !names.insert(name.clone()) {
            let path = format!("{path}.name");
            let message = format!("Invalid '{path}': there are two tools called '{name}'.");
            return Err(ApiError::invalid(path, message));
        }
        echo.push(shown);
        request.tools.push(nested(tool));
    }
    let parallel = body.boolean("parallel_tool_calls")?.unwrap_or(true);
    request.one_tool_call = !parallel;
    let choice = body.take("tool_choice");
    let tool_choice = choice.clone().unwrap_or_else(|| json!("auto"));
    if let Some(choice) = choice {
        read_choice(choice, &names, request)?;
    }
    Ok(Echo {
        tools: echo,
        tool_choice,
        parallel_tool_calls: parallel,
    })
}

/// The name of a tool, and how a response shows it.
fn check(tool: &Value, path: &str) -> Result<(String, Value), ApiError> {
    let mut fields = Fields::new(tool.clone(), path)?;
    let kind = fields.required_string("type")?;
    if kind != "function" {
        let why = "only functions can be called here; declare one, and run it yourself";
        return Err(ApiError::unsupported(fields.path_of("type"), why));
    }
    let name = declaration(fields)?;
    let mut shown =
        json!({"type": "function", "description": null, "parameters": null, "strict": null});
    for (field, value) in tool.as_object().into_iter().flatten() {
        shown[field.as_str()] = value.clone();
    }
    Ok((name, shown))
}

/// A checked tool as templates take it.
fn nested(tool: Value) -> Value {
    let mut function = tool;
    if let Some(map) = function.as_object_mut() {
        map.remove("type");
        map.retain(|_, value| !value.is_null());
    }
    json!({"type": "function", "function": function})
}

fn read_choice(
    choice: Value,
    names: &HashSet<String>,
    request: &mut Request,
) -> Result<(), ApiError> {
    match choice {
        Value::String(mode) => {
            let found = MODES.iter().find(|(name, _)| *name == mode);
            let known = MODES.iter().map(|(name, _)| *name);
            let unknown = || unknown_word("tool_choice", &mode, known);
            request.tool_choice = found.map(|(_, choice)| *choice).ok_or_else(unknown)?;
        }
        choice @ Value::Object(_) => read_object(Fields::new(choice, "tool_choice")?, request)?,
        other => return Err(wrong_type("tool_choice", "a string or an object", &other)),
    }
    if names.is_empty() && request.tool_choice == ToolChoice::Required {
        let message = "'tool_choice' can only ask for a call when 'tools' are specified.";
        return Err(ApiError::invalid("tool_choice", message));
    }
    match request
        .allowed_tools
        .iter()
        .find(|name| !names.contains(*name))
    {
        None => Ok(()),
        Some(name) => {
            let message =
                format!("Invalid 'tool_choice': no tool in 'tools' is called '{name:.100}'.");
            Err(ApiError::invalid("tool_choice", message))
        }
    }
}

fn read_object(mut choice: Fields, request: &mut Request) -> Result<(), ApiError> {
    let kind = choice.required_string("type")?;
    match kind.as_str() {
        "function" => {
            request.allowed_tools = vec![choice.required_string("name")?];
            request.tool_choice = ToolChoice::Required;
            // One tool is named, so it is called once.
            request.one_tool_call = true;
        }
        "allowed_tools" => {
            let missing = ApiError::missing(choice.path_of("mode"));
            request.tool_choice = choice.one_of("mode", &MODES[1..])?.ok_or(missing)?;
            let path = choice.path_of("tools");
            let tools = choice.array("tools")?.unwrap_or_default();
            if tools.is_empty() {
                let message = format!("'{path}' must name at least one tool.");
                return Err(ApiError::invalid(path, message));
            }
            let names = tools.into_iter().enumerate().map(|(i, tool)| {
                let mut tool = Fields::new(tool, &format!("{path}[{i}]"))?;
                tool.one_of("type", &[("function", ())])?;
                let name = tool.required_string("name")?;
                tool.finish()?;
                Ok(name)
            });
            request.allowed_tools = names.collect::<Result<_, ApiError>>()?;
        }
        other => {
            let known = ["function", "allowed_tools"].into_iter();
            return Err(unknown_word(&choice.path_of("type"), other, known));
        }
    }
    choice.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "name": name, "parameters": {"type": "object"}})
    }

    fn read_json(body: Value) -> Result<(Request, Echo), ApiError> {
        let mut request = Request::default();
        let mut fields = Fields::new(body, "")?;
        let echo = read(&mut fields, &mut request)?;
        fields.finish()?;
        Ok((request, echo))
    }

    #[test]
    fn tools_reach_templates_in_their_shape_and_come_back_whole() {
        let (request, echo) = read_json(json!({"tools": [tool("f")]})).expect("a request");
        let nested = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
        assert_eq!(request.tools, [nested]);
        let shown = json!({"type": "function", "name": "f", "parameters": {"type": "object"},
                           "description": null, "strict": null});
        assert_eq!(echo.tools, [shown]);
        assert_eq!(echo.tool_choice, "auto");
        assert!(echo.parallel_tool_calls && !request.one_tool_call);
    }

    #[test]
    fn every_choice_is_read() {
        let with = |choice: Value| {
            let body = json!({"tools": [tool("f"), tool("g")], "tool_choice": choice});
            read_json(body).expect("a request").0
        };
        assert_eq!(with(json!("none")).tool_choice, ToolChoice::None);
        assert_eq!(with(json!("required")).tool_choice, ToolChoice::Required);
        let named = with(json!({"type": "function", "name": "g"}));
        assert_eq!(named.tool_choice, ToolChoice::Required);
        assert_eq!(
            (named.allowed_tools, named.one_tool_call),
            (vec!["g".to_owned()], true)
        );
        let some = with(
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}),
        );
        assert_eq!(some.tool_choice, ToolChoice::Auto);
        assert_eq!(some.allowed_tools, ["f"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let some = |tools: Value| json!({"type": "allowed_tools", "mode": "auto", "tools": tools});
        for (body, param) in [
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
            (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
            (
                json!({"tools": [{"type": "function", "function": {}}]}),
                "tools[0].name",
            ),
            (
                json!({"tools": [{"type": "function", "name": "f", "x": 1}]}),
                "tools[0].x",
            ),
            (json!({"tools": [tool("f"), tool("f")]}), "tools[1].name"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [tool("f")], "tool_choice": {"type": "function", "name": "g"}}),
                "tool_choice",
            ),
            (
                json!({"tools": [tool("f")], "tool_choice": {"type": "mcp"}}),
                "tool_choice.type",
            ),
            (
                json!({"tools": [tool("f")], "tool_choice": some(json!([]))}),
                "tool_choice.tools",
            ),
            (
                json!({"tools": [tool("f")], "tool_choice": some(json!([{"name": "f", "x": 1}]))}),
                "tool_choice.tools[0].x",
            ),
        ] {
            let error = read_json(body.clone()).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }
}
