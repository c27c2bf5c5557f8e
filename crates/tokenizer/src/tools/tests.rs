//! Each syntax as its template writes it, and what is no call.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(syntax: &ToolSyntax, body: &str) -> Option<Vec<(String, Json)>> {
    let calls = syntax.parse(body, &Schemas::default())?;
    Some(
        calls
            .into_iter()
            .map(|call| (call.name, Json::Object(call.arguments)))
            .collect(),
    )
}

fn weather(arguments: Json) -> Option<Vec<(String, Json)>> {
    Some(vec![("get_weather".to_owned(), arguments)])
}

fn named() -> ToolSyntax {
    ToolSyntax::NamedJson {
        separator: "[ARGS]".into(),
    }
}

fn sections() -> ToolSyntax {
    ToolSyntax::Sections {
        open: "<call>".into(),
        separator: "<sep>".into(),
        close: "</call>".into(),
    }
}

fn braces() -> ToolSyntax {
    ToolSyntax::Braces {
        quote: "<|\"|>".into(),
    }
}

fn invoke() -> ToolSyntax {
    ToolSyntax::InvokeXml {
        prefix: "atem:".into(),
    }
}

#[test]
fn json_calls() {
    let paris = || weather(json!({"city": "Paris"}));
    for body in [
        r#"{"name": "get_weather", "arguments": {"city": "Paris"}}"#,
        r#"{"name": "get_weather", "parameters": {"city": "Paris"}}"#,
        r#"[{"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}]"#,
        r#"{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}"#,
    ] {
        assert_eq!(parse(&ToolSyntax::Json, body), paris(), "{body}");
        assert_eq!(parse(&named(), body), paris(), "{body}");
    }
    assert_eq!(
        parse(&named(), r#"get_weather[ARGS]{"city": "Paris"}"#),
        paris()
    );
    assert_eq!(
        parse(
            &named(),
            r#"get_weather[CALL_ID]abc[ARGS]{"city": "Paris"}"#
        ),
        paris()
    );
    let two = parse(
        &ToolSyntax::Json,
        r#"{"name": "a"}; {"name": "b", "arguments": null}"#,
    );
    assert_eq!(
        two,
        Some(vec![("a".into(), json!({})), ("b".into(), json!({}))])
    );
}

#[test]
fn tagged_calls() {
    let body = "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>";
    assert_eq!(
        parse(&ToolSyntax::FunctionXml, body),
        weather(json!({"city": "Paris", "days": 3}))
    );
    let inline = "<function=get_weather><parameter=note>a\n\n<b></parameter></function>";
    assert_eq!(
        parse(&ToolSyntax::FunctionXml, inline),
        weather(json!({"note": "a\n\n<b>"}))
    );
    let invoked = "<atem:invoke name=\"get_weather\">\n<atem:parameter name=\"city\">Paris</atem:parameter>\n</atem:invoke>";
    assert_eq!(parse(&invoke(), invoked), weather(json!({"city": "Paris"})));
    let pairs = "get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>x</arg_key><arg_value>[1]</arg_value>";
    assert_eq!(
        parse(&ToolSyntax::ArgPairs, pairs),
        weather(json!({"city": "Paris", "x": [1]}))
    );
}

#[test]
fn a_schema_keeps_text_as_text() {
    let tools = [
        json!({"type": "function", "function": {"name": "f", "parameters": {"properties": {
        "zip": {"type": "string"}, "n": {"type": "integer"}}}}}),
    ];
    let body = "f<arg_key>zip</arg_key><arg_value>01234</arg_value><arg_key>n</arg_key><arg_value>5</arg_value>";
    let calls = ToolSyntax::ArgPairs
        .parse(body, &Schemas::new(&tools))
        .unwrap();
    assert_eq!(
        Json::Object(calls[0].arguments.clone()),
        json!({"zip": "01234", "n": 5})
    );
}

#[test]
fn calls_in_sections() {
    let expected = weather(json!({"city": "Paris"}));
    for body in [
        r#"<call>functions.get_weather:0<sep>{"city": "Paris"}</call>"#,
        r#"<call>get_weather<sep>{"city": "Paris"}</call>"#,
        "<call>function<sep>get_weather\n```json\n{\"city\": \"Paris\"}\n```</call>",
    ] {
        assert_eq!(parse(&sections(), body), expected, "{body}");
    }
}

#[test]
fn literal_calls() {
    assert_eq!(
        parse(
            &ToolSyntax::Pythonic,
            r#"[get_weather(city="P\"a", n=-1.5, on=True, l=['x', None], d={"k": 1})]"#
        ),
        weather(json!({"city": "P\"a", "n": -1.5, "on": true, "l": ["x", null], "d": {"k": 1}}))
    );
    assert_eq!(
        parse(
            &braces(),
            "call:get_weather{city:<|\"|>Pa}ris<|\"|>,n:2,o:{a:true},l:[1,<|\"|>b<|\"|>]}"
        ),
        weather(json!({"city": "Pa}ris", "n": 2, "o": {"a": true}, "l": [1, "b"]}))
    );
}

#[test]
fn what_is_no_call_is_refused() {
    for syntax in [
        ToolSyntax::Json,
        named(),
        ToolSyntax::FunctionXml,
        invoke(),
        ToolSyntax::ArgPairs,
        sections(),
        ToolSyntax::Pythonic,
        braces(),
    ] {
        for body in [
            "",
            "{",
            "{\"a\": 1}",
            "[1]",
            "hello there",
            "<function=>",
            "f(",
            "call:{",
            "[f(x)]",
            "{}",
            "{\"name\": \"not a name!\"}",
            &"[".repeat(10_000),
            &"call:f{a:[".repeat(5_000),
            &"<call>".repeat(999),
        ] {
            assert_eq!(
                parse(&syntax, body),
                None,
                "{syntax:?} {}",
                &body[..body.len().min(40)]
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_handled(text in "[\\[\\]{}()<>=:,\"'a\\\\u0 |/é]{0,60}", seed in prop::sample::select(vec![
        "", "<function=f><parameter=k>", "f<arg_key>", "call:f{", "[f(a=", "{\"name\": \"f\", \"arguments\": ",
        "f[ARGS]{", "<call>f<sep>{", "<atem:invoke name=\"f\">"]))
    {
        let body = format!("{seed}{text}");
        for syntax in [ToolSyntax::Json, named(), ToolSyntax::FunctionXml, invoke(), ToolSyntax::ArgPairs,
            sections(), ToolSyntax::Pythonic, braces()]
        {
            let _ = parse(&syntax, &body);
        }
    }
}
