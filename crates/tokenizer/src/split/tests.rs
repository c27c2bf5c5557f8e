//! Real turns of each format, and properties of any text.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::headers::HeaderScanner;
use super::scan::{Piece, Scanner};
use super::*;
use crate::tools::Schemas;

fn tools() -> Vec<Json> {
    vec![
        json!({"type": "function", "function": {"name": "get_weather", "parameters":
        {"properties": {"city": {"type": "string"}}}}}),
    ]
}

fn format(name: &str) -> ChatFormat {
    ChatFormat::by_name(name).unwrap_or_else(ChatFormat::none)
}

/// Parts as lines that are easy to compare: `R:` reasoning, `C:` content, `T:` call.
fn show(parts: Vec<Part>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let (tag, text) = match part {
            Part::Reasoning(text) => ("R:", text),
            Part::Content(text) => ("C:", text),
            Part::ToolCall(call) => {
                let arguments = call.function.arguments.as_str().unwrap().to_owned();
                lines.push(format!(
                    "T:{} {} {arguments}",
                    call.id.unwrap(),
                    call.function.name
                ));
                continue;
            }
        };
        match lines.last_mut() {
            Some(last) if last.starts_with(tag) => last.push_str(&text),
            _ => lines.push(format!("{tag}{text}")),
        }
    }
    lines
}

/// Splits `text` as tokens that end at `cuts`; also the number of reasoning tokens.
fn split_at(name: &str, prompt: &str, text: &str, cuts: &[usize]) -> (Vec<String>, usize) {
    let mut splitter = Splitter::new(&format(name), prompt, &tools());
    let mut parts = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&text.len()]) {
        if end >= start {
            parts.extend(splitter.push(0, &text[start..end]));
            start = end;
        }
    }
    parts.extend(splitter.finish());
    (show(parts), splitter.reasoning_tokens())
}

fn cuts_of_chars(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

/// The same whether it comes at once or character by character.
#[track_caller]
fn check(name: &str, prompt: &str, text: &str, expected: &[&str]) {
    assert_eq!(split_at(name, prompt, text, &[]).0, expected, "at once");
    assert_eq!(
        split_at(name, prompt, text, &cuts_of_chars(text)).0,
        expected,
        "by characters"
    );
}

const PARIS: &str = "T:call_0 get_weather {\"city\":\"Paris\"}";

#[test]
fn thoughts_in_tags() {
    check(
        "hermes",
        "",
        "<think>\na < b\n</think>\n\nHi.\n",
        &["R:a < b", "C:Hi.\n"],
    );
    check("hermes", "<think>\n", "a\n</think>\n\nHi", &["R:a", "C:Hi"]);
    check(
        "hermes",
        "<think>\n",
        "<think>\na</think>Hi",
        &["R:a", "C:Hi"],
    );
    check("hermes", "<think>\n\n</think>\n\n", "Hi", &["C:Hi"]);
    check(
        "hermes",
        "",
        "<think>never ends </thin",
        &["R:never ends </thin"],
    );
    check("hermes", "", "<think>\n</think>\n Hi", &["C:Hi"]);
    check(
        "hermes",
        "",
        "<think>a</think>\n<think>b</think>c",
        &["R:ab", "C:c"],
    );
    check("none", "", "<think>a</think>", &["C:<think>a</think>"]);
}

#[test]
fn markers_in_the_answer_are_text() {
    let answer = "Write `<think>`:\n```\n<think>a</think>\n```\n";
    check(
        "hermes",
        "",
        &format!("<think>x</think>{answer}"),
        &["R:x", &format!("C:{answer}")],
    );
    check("hermes", "", "a </think> b", &["C:a </think> b"]);
    check(
        "hermes",
        "<think>",
        "mind <think> here</think>b",
        &["R:mind <think> here", "C:b"],
    );
}

#[test]
fn calls_in_tags() {
    let call = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    check(
        "hermes",
        "",
        &format!("<think>x</think>\nLet me see.\n{call}"),
        &["R:x", "C:Let me see.", PARIS],
    );
    check(
        "hermes",
        "",
        &format!("{call}\n{call}"),
        &[PARIS, &PARIS.replace('0', "1")],
    );
    check(
        "hermes",
        "",
        call.trim_end_matches("</tool_call>"),
        &[PARIS],
    );
    let tricky = call.replace("Paris", "</tool_call>");
    check(
        "hermes",
        "",
        &tricky,
        &[&PARIS.replace("Paris", "</tool_call>")],
    );
    for broken in [
        "a <tool_call>{\"name\": }</tool_call> b",
        "<tool_call>{\"na",
        "<tool_call>",
    ] {
        check("hermes", "", broken, &[&format!("C:{broken}")]);
    }
    let xml = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>";
    check(
        "function_xml",
        "<think>\n",
        &format!("x\n</think>\n\n{xml}"),
        &["R:x", PARIS],
    );
    let glm =
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value></tool_call>";
    check(
        "glm",
        "<|assistant|><think>",
        &format!("x</think>{glm}"),
        &["R:x", PARIS],
    );
    let seed = xml.replace("tool_call>", "seed:tool_call>");
    check(
        "seed",
        "",
        &format!("<seed:think>\nx</seed:think>\n{seed}"),
        &["R:x", PARIS],
    );
    check(
        "lfm2",
        "",
        "<|tool_call_start|>[get_weather(city=\"Paris\")]<|tool_call_end|>",
        &[PARIS],
    );
}

#[test]
fn without_tools_nothing_is_a_call() {
    let text = "<tool_call>{\"name\": \"f\"}</tool_call>";
    let mut splitter = Splitter::new(&format("hermes"), "", &[]);
    let mut parts = splitter.push(0, text);
    parts.extend(splitter.finish());
    assert_eq!(show(parts), [format!("C:{text}")]);
}

#[test]
fn calls_without_close() {
    check(
        "llama3",
        "",
        "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}",
        &[PARIS],
    );
    check(
        "llama3",
        "",
        "<|python_tag|>{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}",
        &[PARIS],
    );
    check(
        "llama3",
        "",
        "<|python_tag|>print(1)",
        &["C:<|python_tag|>print(1)"],
    );
    check("llama3", "", "{\"answer\": 42}", &["C:{\"answer\": 42}"]);
    check(
        "llama3",
        "",
        "{\"name\": \"Ada\", \"born\": 1815} is she.",
        &["T:call_0 Ada {}", "C:is she."],
    );
    let mistral = "[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Paris\"}";
    check(
        "mistral",
        "",
        &format!("[THINK]x[/THINK]{mistral}{mistral}"),
        &["R:x", PARIS, &PARIS.replace('0', "1")],
    );
    check(
        "mistral",
        "",
        "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}]",
        &[PARIS],
    );
    check("mistral", "", "[TOOL_CALLS]oops", &["C:[TOOL_CALLS]oops"]);
    check(
        "granite",
        "",
        "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}]",
        &[PARIS],
    );
    check(
        "granite",
        "",
        "<think>x</think>\n<response>Hi</response>",
        &["R:x", "C:Hi"],
    );
}

#[test]
fn calls_in_sections() {
    let kimi = "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>\
        {\"city\": \"Paris\"}<|tool_call_end|><|tool_calls_section_end|>";
    check(
        "kimi",
        "",
        &format!("<think>x</think>{kimi}"),
        &["R:x", PARIS],
    );
    let deepseek = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Paris\"}\
        <｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    check(
        "deepseek",
        "<｜Assistant｜><think>",
        &format!("x</think>{deepseek}"),
        &["R:x", PARIS],
    );
    check(
        "apriel",
        "",
        "Here are my reasoning steps:\nx\n[BEGIN FINAL RESPONSE]\nHi\n[END FINAL RESPONSE]",
        &["R:x", "C:Hi\n"],
    );
}

#[test]
fn channels() {
    let call = "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>}<tool_call|>";
    check(
        "gemma4",
        "",
        &format!("<|channel>thought\nx\n<channel|>Hi{call}"),
        &["R:x", "C:Hi", PARIS],
    );
    check(
        "gemma4",
        "<|turn>model\n<|channel>thought\n<channel|>",
        "Hi",
        &["C:Hi"],
    );
    check(
        "gemma4",
        "",
        "Hi<|channel>thought\nx<channel|>there",
        &["C:Hi", "R:x", "C:there"],
    );

    let prompt = "<|start|>user<|message|>q<|end|><|start|>assistant";
    let analysis = "<|channel|>analysis<|message|>x <|<|end|>";
    let final_ = "<|start|>assistant<|channel|>final<|message|>Hi<|return|>";
    check(
        "harmony",
        prompt,
        &format!("{analysis}{final_}"),
        &["R:x <|", "C:Hi"],
    );
    check(
        "harmony",
        prompt,
        &format!(
            "{analysis}<|start|>assistant<|channel|>commentary<|message|>Look.<|end|>{final_}"
        ),
        &["R:x <|", "C:Look.Hi"],
    );
    for to in [
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>",
        "<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>",
    ] {
        for end in ["<|call|>", ""] {
            check(
                "harmony",
                prompt,
                &format!("{analysis}{to}{{\"city\": \"Paris\"}}{end}"),
                &["R:x <|", PARIS],
            );
        }
        check(
            "harmony",
            prompt,
            &format!("{to}{{\"ci"),
            &[&format!("C:{to}{{\"ci")],
        );
    }
    check(
        "harmony",
        &format!("{prompt}<|channel|>analysis<|message|>"),
        "x<|end|>",
        &["R:x"],
    );
    check(
        "harmony",
        prompt,
        &format!("plain {}", "text ".repeat(200)),
        &[&format!("C:plain {}", "text ".repeat(200))],
    );

    let atem = "<|eom|><|start|>assistant to=get_weather<|message|><atem:function_calls>\n<atem:invoke name=\"get_weather\">\n\
        <atem:parameter name=\"city\">Paris</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>";
    check(
        "atem",
        prompt,
        &format!(" to=self<|message|>x{atem}"),
        &["R:x", PARIS],
    );
    check("atem", prompt, " to=user<|message|>Hi<|eot|>", &["C:Hi"]);
}

#[test]
fn a_brace_that_begins_no_call_hides_none() {
    let call = r#"{"name": "get_weather", "parameters": {"city": "Paris"}}"#;
    check(
        "llama3",
        "",
        &format!("{{x <|python_tag|>{call}"),
        &["C:{x", PARIS],
    );
}

#[test]
fn closing_markers_in_the_texts_of_arguments_are_text() {
    let tools = [
        json!({"type": "function", "function": {"name": "f", "parameters":
        {"properties": {"s": {"type": "string"}, "o": {"type": "object"}}}}}),
    ];
    for (name, text) in [
        (
            "function_xml",
            "<tool_call>\n<function=f>\n<parameter=o>\n{\"a\": \"</parameter> </tool_call> <parameter=\"}\n</parameter>\n</function>\n</tool_call>",
        ),
        (
            "glm",
            "<tool_call>f\n<arg_key>o</arg_key>\n<arg_value>{\"a\": \"</arg_value></tool_call>\"}</arg_value>\n</tool_call>",
        ),
        (
            "kimi",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"o\": {\"a\": \"<|tool_call_end|><|tool_calls_section_end|>\"}}<|tool_call_end|><|tool_calls_section_end|>",
        ),
        (
            "lfm2",
            "<|tool_call_start|>[f(o={\"a\": \"<|tool_call_end|>\"})]<|tool_call_end|>",
        ),
    ] {
        for cuts in [Vec::new(), cuts_of_chars(text)] {
            let mut splitter = Splitter::new(&format(name), "", &tools);
            let mut parts = Vec::new();
            let mut start = 0;
            for end in cuts.into_iter().chain([text.len()]) {
                parts.extend(splitter.push(0, &text[start..end]));
                start = end;
            }
            parts.extend(splitter.push(0, "!"));
            parts.extend(splitter.finish());
            let shown = show(parts);
            assert!(
                shown[0].starts_with("T:call_0 f {\"o\":{\"a\":\"<"),
                "{name}: {shown:?}"
            );
            assert_eq!(shown[1..], ["C:!"], "{name}");
        }
    }
}

#[test]
fn in_a_document_markers_are_text() {
    let document = "{\"a\": \"<think> <tool_call>x</tool_call> <response>\"}\n";
    for (name, before) in [
        ("hermes", "<think>a</think>\n\n"),
        ("hermes", "\n"),
        ("granite", "<think>a</think>\n<response>"),
        ("llama3", " "),
        (
            "harmony",
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ] {
        let prompt = "<|start|>assistant";
        let mut splitter = Splitter::new(&format(name), prompt, &tools());
        let mut parts = splitter.push(0, before);
        let has_thought = splitter.reasoning_tokens() > 0;
        parts.extend(splitter.begin_document());
        for (at, c) in document.char_indices() {
            parts.extend(splitter.push(1, &document[at..at + c.len_utf8()]));
            let position = splitter.position();
            assert!(!position.in_call && !position.in_reasoning, "{name}");
        }
        parts.extend(splitter.finish());
        let content = format!("C:{document}");
        let thought = ["R:a", &content];
        assert_eq!(show(parts), thought[usize::from(!has_thought)..], "{name}");
    }
}

#[test]
fn reasoning_tokens_are_counted_with_their_markers() {
    let count = |prompt: &str, tokens: &[&str]| {
        let mut splitter = Splitter::new(&format("hermes"), prompt, &[]);
        for token in tokens {
            splitter.push(0, token);
        }
        splitter.finish();
        splitter.reasoning_tokens()
    };
    assert_eq!(
        count(
            "",
            &["<think>", "\n", "a", "", "é", "</think>", "\n\n", "Hi"]
        ),
        6
    );
    assert_eq!(
        count("", &["<", "think", ">", "a", "</", "think", ">", "Hi"]),
        7
    );
    assert_eq!(count("<think>\n", &["a", "b", "</think>", "Hi", "."]), 3);
    assert_eq!(count("<think>\n", &["a", "b", ""]), 3);
    assert_eq!(count("", &["<", "b", ">", "Hi"]), 0);
}

#[test]
fn every_format_is_found_by_its_vocabulary() {
    for name in [
        "harmony", "gemma4", "seed", "mistral", "kimi", "glm", "lfm2", "hermes", "llama3", "think",
    ] {
        let tokens: Vec<&str> = match name {
            "harmony" => vec!["<|channel|>", "<|message|>", "<|start|>"],
            "gemma4" => vec!["<|channel>", "<channel|>"],
            "seed" => vec!["<seed:think>", "</seed:think>"],
            "mistral" => vec!["[TOOL_CALLS]", "[INST]", "[THINK]"],
            "kimi" => vec!["<|tool_calls_section_begin|>", "<think>", "</think>"],
            "glm" => vec![
                "<arg_key>",
                "<tool_call>",
                "<think>",
                "</think>",
                "</tool_call>",
            ],
            "lfm2" => vec!["<|tool_call_start|>", "<|tool_call_end|>"],
            "hermes" => vec!["<tool_call>", "</tool_call>", "<think>", "</think>"],
            "llama3" => vec!["<|python_tag|>", "<|start_header_id|>"],
            _ => vec!["<think>", "</think>"],
        };
        assert_eq!(
            ChatFormat::detect(None, |token| tokens.contains(&token)).name,
            name
        );
    }
    assert_eq!(ChatFormat::detect(None, |_| false).name, "none");
    let lfm2 = |token: &str| token.starts_with("<|tool_call_");
    assert_eq!(
        ChatFormat::detect(Some("{{ messages }}"), |_| false).name,
        "none"
    );
    assert_eq!(
        ChatFormat::detect(Some("</think>"), |_| false).name,
        "think"
    );
    assert_eq!(ChatFormat::detect(Some("</think>"), lfm2).name, "lfm2");
    assert_eq!(ChatFormat::detect(Some("<tool_call>"), lfm2).name, "hermes");
}

/// Text made of every marker of a format and of what may stand around it.
fn text_of(name: &'static str) -> impl Strategy<Value = String> {
    let format = format(name);
    let mut words: Vec<String> = [
        "x",
        " ",
        "\n",
        "é",
        "<",
        "|",
        "{\"name\": \"f\", \"arguments\": {}}",
        "f",
        "\"",
        "{",
        "}",
        "<function=f>",
        "to=functions.f",
        "analysis",
        "<|start|>",
        "assistant",
        "[ARGS]",
        "]",
    ]
    .map(str::to_owned)
    .into();
    words.extend(
        format
            .reasoning
            .iter()
            .flat_map(|r| [r.open.clone(), r.close.clone()]),
    );
    words.extend(
        format
            .tools
            .iter()
            .flat_map(|t| [t.open.clone(), t.close.clone().unwrap_or_default()]),
    );
    words.extend(
        format
            .headers
            .iter()
            .flat_map(|h| [h.start.clone(), h.message.clone(), h.end[0].clone()]),
    );
    words.extend(format.headers.iter().filter_map(|h| h.channel.clone()));
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
}

fn any_format() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        ChatFormat::all()
            .iter()
            .map(|format| format.name.as_str())
            .collect::<Vec<_>>(),
    )
}

/// The raw text of all pieces.
fn raw(name: &str, prompt: &str, text: &str, cuts: &[usize]) -> String {
    let format = format(name);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut marks = Scanner::new(&format, Schemas::default(), true, !prompt.is_empty());
    let mut heads = format
        .headers
        .as_ref()
        .map(|h| HeaderScanner::new(&format, h, Schemas::default(), prompt));
    let mut start = 0;
    for &end in cuts.iter().chain([&text.len()]) {
        match &mut heads {
            Some(scanner) => scanner.push(&text[start..end], &mut pieces),
            None => marks.push(&text[start..end], &mut pieces),
        }
        start = end;
    }
    match &mut heads {
        Some(scanner) => scanner.finish(&mut pieces),
        None => marks.finish(&mut pieces),
    }
    pieces.iter().map(Piece::raw).collect()
}

fn cut_points(text: &str, picks: &[prop::sample::Index]) -> Vec<usize> {
    let all = cuts_of_chars(text);
    let mut cuts: Vec<usize> = match all.is_empty() {
        true => Vec::new(),
        false => picks
            .iter()
            .map(|pick| all[pick.index(all.len())])
            .collect(),
    };
    cuts.sort_unstable();
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cuts_do_not_matter_and_nothing_is_lost(
        (name, text) in any_format().prop_flat_map(|name| (Just(name), text_of(name))),
        prefilled in any::<bool>(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let open = format(name).reasoning.map_or(String::new(), |r| r.open);
        let prompt = match (&format(name).headers, prefilled) {
            (Some(_), true) => "<|start|>assistant".to_owned(),
            (None, true) => open,
            _ => String::new(),
        };
        let cuts = cut_points(&text, &picks);
        prop_assert_eq!(raw(name, &prompt, &text, &cuts), text.as_str());
        prop_assert_eq!(split_at(name, &prompt, &text, &cuts).0, split_at(name, &prompt, &text, &[]).0);
    }
}

#[test]
fn places_say_what_may_become_a_marker() {
    let places = |name: &str, prompt: &str, tokens: &[&str]| -> Vec<(bool, usize, usize, usize)> {
        let mut splitter = Splitter::new(&format(name), prompt, &[]);
        let place = |token: &&str| {
            splitter.push(0, token);
            let place = splitter.position();
            let thought = (place.in_reasoning, place.reasoning_tokens);
            (
                thought.0,
                thought.1,
                place.marker_bytes,
                place.pending_tokens,
            )
        };
        tokens.iter().map(place).collect()
    };
    assert_eq!(
        places(
            "hermes",
            "",
            &["<th", "ink>", "a", "</", "x", "</think>", "Hi", "<th"]
        ),
        [
            (false, 0, 3, 1),
            (true, 2, 0, 0),
            (true, 3, 0, 0),
            (true, 4, 2, 0),
            (true, 5, 0, 0),
            (false, 6, 0, 0),
            (false, 6, 0, 0),
            (false, 6, 0, 0),
        ]
    );
    let tokens = [
        "<|channel|>",
        "ana",
        "lysis",
        "<|message|>",
        "x",
        "<|end|>",
        "<|start|>",
    ];
    assert_eq!(
        places("harmony", "<|start|>assistant", &tokens),
        [
            (false, 0, 11, 1),
            (false, 0, 14, 2),
            (false, 0, 0, 3),
            (true, 4, 0, 0),
            (true, 5, 0, 0),
            (false, 6, 0, 0),
            (false, 6, 0, 0),
        ]
    );
}

#[test]
fn calls_are_known_while_they_are_written() {
    let tools = [json!({"type": "function", "function": {"name": "f"}})];
    for (name, prompt, text) in [
        ("hermes", "", "<tool_call>\n{\"name\""),
        (
            "harmony",
            "<|start|>assistant",
            "<|channel|>commentary to=functions.f<|message|>{",
        ),
    ] {
        let mut splitter = Splitter::new(&format(name), prompt, &tools);
        assert!(!splitter.position().in_call);
        splitter.push(0, text);
        assert!(splitter.position().in_call, "{name}");
    }
}

#[test]
fn the_markers_of_a_thought_lead_to_the_answer() {
    for format in ChatFormat::all() {
        let Some(markers) = format.thought_markers() else {
            continue;
        };
        assert!(
            !markers.open.is_empty() && markers.n_decisive > 0,
            "{}",
            format.name
        );
        let splitter = |prompt: &str| Splitter::new(format, prompt, &[]);
        let prompt = match &format.headers {
            None => format!("{}\n", markers.open),
            Some(headers) => format!(
                "{}assistant {}{}",
                headers.start, markers.open, headers.message
            ),
        };
        let mut splitter = splitter(&prompt);
        assert!(splitter.in_reasoning(), "{}", format.name);
        splitter.push(0, &markers.close[..markers.n_decisive]);
        assert!(!splitter.in_reasoning(), "{}", format.name);
        splitter.push(0, &markers.close[markers.n_decisive..]);
        let mut parts = splitter.push(0, "Hi there");
        parts.extend(splitter.finish());
        assert_eq!(show(parts), ["C:Hi there"], "{}", format.name);
    }
}
