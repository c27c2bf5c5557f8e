//! What templates may and may not do, and what they are given.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn refuses(source: &str) {
    let rendered = ChatTemplate::new(source).and_then(|template| template.render(&json!({}), None));
    assert!(
        rendered.is_err(),
        "{source:?} gave {} bytes",
        rendered.unwrap().len()
    );
}

#[test]
fn work_is_bounded() {
    refuses("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}");
    refuses(
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    );
    refuses("{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
    refuses("{{ 'x' * 999999999 }}");
    refuses("{{ 'x'.ljust(9999999999) }}");
    refuses("{{ range(99999999) | list | tojson }}");
    refuses(
        "{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    );
    refuses(&"x".repeat((1 << 17) + 1));
    refuses(&format!(
        "{{{{ {}1{} }}}}",
        "(".repeat(5000),
        ")".repeat(5000)
    ));
    refuses(&format!("{{{{ a{} }}}}", "|e".repeat(60_000)));
    refuses(&"{% if true %}".repeat(5000));
}

/// Values nested as deeply as the fuel allows are dropped without running out of stack.
#[test]
fn nesting_is_bounded() {
    for step in [
        "[ns.x]",
        "{'k': ns.x}",
        "(ns.x,)",
        "ns.x + [1]",
        "[ns.x][0:]",
        "ns.x | list | map('string')",
    ] {
        let source = format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(99999) %}}{{% set ns.x = {step} %}}{{% endfor %}}"
        );
        let _ = ChatTemplate::new(&source).unwrap().render(&json!({}), None);
    }
    for (head, step, tail, n) in [
        ("{% set x = []", "|batch(1)|list", " %}", 280),
        ("{{ []", "|batch(1)|list", " }}", 280),
        ("{% set x = [] %}", "{% set x=[x]%}", "", 9_000),
        ("{{ 1", "+1", " }}", 2_000),
        ("{{ a", ".a", " }}", 2_000),
        ("{{ a", "~a", " }}", 2_000),
        ("{{ a", "|e", " }}", 2_000),
        ("{{ a", "[a]", " }}", 1_300),
        ("{{ a", "()", " }}", 2_000),
        ("{% macro f(x) %}{{ f(", "[", "", 100),
    ] {
        let closing = if step == "[" {
            "x".to_owned() + &"]".repeat(n) + ") }}{% endmacro %}{{ f(1) }}"
        } else {
            String::new()
        };
        let source = format!("{head}{}{closing}{tail}", step.repeat(n));
        if let Ok(template) = ChatTemplate::new(&source) {
            let _ = template.render(&json!({}), None);
        }
    }
}

#[test]
fn files_and_internals_are_out_of_reach() {
    for source in [
        "{% include '/etc/hostname' %}",
        "{% import '/etc/hostname' as x %}",
        "{% extends '/etc/hostname' %}",
        "{{ debug() }}",
        "{{ [].append(1) }}",
        "{{ {}.update({}) }}",
        "{{ ''.__class__.__mro__ }}",
    ] {
        refuses(source);
    }
}

#[test]
fn errors_say_where() {
    let syntax = ChatTemplate::new("a\n{% if %}").unwrap_err().to_string();
    assert!(syntax.starts_with("chat template, line 2: "), "{syntax}");
    let template = ChatTemplate::new("a\n\n{{ x.y.z }}").unwrap();
    let eval = template.render(&json!({}), None).unwrap_err().to_string();
    assert!(eval.starts_with("chat template, line 3: "), "{eval}");
    let deep = ChatTemplate::new(
        "{% macro m() %}{{ raise_exception('no ' ~ [1]) }}{% endmacro %}{{ m() | trim }}",
    );
    let raised = deep.unwrap().render(&json!({}), None).unwrap_err();
    assert!(matches!(raised, TemplateError::Raised { message } if message == "no [1]"));
}

fn vars(source: &str, messages: Json) -> Json {
    let template = ChatTemplate::new(source).unwrap();
    let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
    template_vars(&template, &messages, &[], &PromptOptions::default())
}

const PLAIN: &str = "{% for m in messages %}{{ m.role + m.content }}{% endfor %}";

#[test]
fn messages_are_written_as_the_template_reads_them() {
    let parts = json!([{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
    assert_eq!(
        vars(PLAIN, parts.clone())["messages"],
        json!([{"role": "system", "content": "ab"}])
    );
    let knows = "{% for m in messages %}{% if m.role == 'developer' %}D{% endif %}\
        {% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}";
    assert_eq!(vars(knows, parts.clone())["messages"], parts);
    assert_eq!(
        vars(PLAIN, json!([{"role": "assistant", "content": null}]))["messages"][0]["content"],
        ""
    );
}

#[test]
fn the_reasoning_is_written_under_each_name_that_is_read() {
    let message = json!([{"role": "assistant", "content": "4", "thinking": "2+2"}]);
    let written = vars("{{ messages[0].thinking }}", message.clone());
    assert_eq!(written["messages"][0]["thinking"], "2+2");
    assert_eq!(written["messages"][0]["reasoning_content"], "2+2");
    assert_eq!(vars(PLAIN, message)["messages"][0]["thinking"], Json::Null);
}

#[test]
fn arguments_are_objects_unless_the_template_wants_text() {
    let message = |content: Json| {
        json!([{"role": "assistant", "content": content,
        "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}])
    };
    let call = |source: &str, content: Json| vars(source, message(content))["messages"][0].clone();
    let objects = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}";
    assert_eq!(
        call(objects, json!(""))["tool_calls"][0]["function"]["arguments"],
        json!({"a": 1})
    );
    // The call is written only beside a null, and by concatenation.
    let texts = "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}\
        {{ '' + c.function.arguments }}{% endfor %}{% else %}{{ '' + m.content }}{% endif %}{% endfor %}";
    for content in [json!(""), json!(null)] {
        let written = call(texts, content);
        assert_eq!(written["content"], Json::Null);
        assert_eq!(
            written["tool_calls"][0]["function"]["arguments"],
            "{\"a\": 1}"
        );
    }
}

#[test]
fn arguments_written_as_text_have_pythons_spaces() {
    let source = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ '' + c.function.arguments }}{% endfor %}{% endfor %}";
    let message = json!([{"role": "assistant", "content": "",
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, {"é": "x"}], "b": null}}}]}]);
    let written =
        vars(source, message)["messages"][0]["tool_calls"][0]["function"]["arguments"].clone();
    assert_eq!(written, "{\"a\": [1, {\"é\": \"x\"}], \"b\": null}");
}

#[test]
fn a_request_gives_its_variables() {
    let request: ChatRequest = serde_json::from_value(json!({
        "model": "m", "temperature": 1, "messages": [{"role": "user", "content": "Hi"}],
        "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false}
    }))
    .unwrap();
    let options = request.prompt_options(&[("eos_token", "</s>".to_owned())]);
    let template = ChatTemplate::fallback();
    let vars = template_vars(&template, &request.messages, &[], &options);
    assert_eq!(
        vars,
        json!({"messages": [{"role": "user", "content": "Hi"}], "tools": null, "documents": null,
        "add_generation_prompt": true, "eos_token": "</s>", "reasoning_effort": "low", "enable_thinking": false})
    );
    assert_eq!(
        template.render(&vars, None).unwrap(),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any text is a template or an error, never a panic.
    #[test]
    fn any_source_is_handled(pieces in prop::collection::vec(prop_oneof![
        Just("{%"), Just("%}"), Just("{{"), Just("}}"), Just("{#"), Just("#}"), Just("-"), Just(" for x in "),
        Just("range(9)"), Just("'"), Just("\""), Just("\\"), Just("("), Just(")"), Just(" if "), Just(" raw "),
        Just("endraw"), Just("endfor"), Just("generation"), Just("|tojson"), Just("x"), Just("é\r\n"), Just("[::-1]"),
    ], 0..24)) {
        let source = pieces.concat();
        if let Ok(template) = ChatTemplate::new(&source) {
            let _ = template.render(&json!({"x": {"é": [1, null]}}), None);
        }
    }

    /// `tojson` writes what JSON reads, whatever the text.
    #[test]
    fn tojson_reads_back(text in any::<String>(), ascii in any::<bool>()) {
        let template = ChatTemplate::new("{{ v | tojson(ensure_ascii=a) }}").unwrap();
        let value = json!([text, {text.clone(): 1}]);
        let rendered = template.render(&json!({"v": value, "a": ascii}), None).unwrap();
        prop_assert_eq!(serde_json::from_str::<Json>(&rendered).unwrap(), value);
        prop_assert!(!ascii || rendered.is_ascii());
    }
}
