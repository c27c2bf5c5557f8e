//! Chat formats against the templates they are for: what a template writes for an assistant's
//! turn, the splitter takes apart again.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ponder_tokenizer::chat::{ChatTemplate, Message, PromptOptions, template_vars};
use ponder_tokenizer::split::{ChatFormat, Part, Splitter};
use serde_json::{Value, json};

/// Each real template's format, whether it takes a tool call apart, and whether its prompt
/// opens the thought.
const EXPECTED: &[(&str, &str, bool, bool)] = &[
    ("ByteDance-Seed-OSS", "seed", true, false),
    ("GLM-4.7-Flash", "glm", true, true),
    ("HuggingFaceTB-SmolLM3-3B", "smollm3", false, false),
    ("Kimi-K2-Thinking", "kimi", false, false),
    ("LFM2.5-8B-A1B", "lfm2", true, false),
    ("LFM2.5-Instruct", "think", false, false),
    (
        "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
        "function_xml",
        true,
        true,
    ),
    (
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
        "hermes",
        true,
        false,
    ),
    ("Qwen-QwQ-32B", "hermes", true, false),
    ("Qwen-Qwen2.5-7B-Instruct", "hermes", true, false),
    ("Qwen-Qwen3-0.6B", "hermes", true, false),
    ("Qwen3-Coder", "function_xml", true, false),
    ("Qwen3.5-4B", "function_xml", true, true),
    (
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
        "deepseek",
        true,
        true,
    ),
    (
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "deepseek",
        true,
        false,
    ),
    ("deepseek-ai-DeepSeek-V3.1", "deepseek", true, false),
    ("gguf__SmolLM2-135M-Instruct", "none", false, false),
    ("google-gemma-2-2b-it", "none", false, false),
    ("google-gemma-4-31B-it", "gemma4", true, false),
    (
        "ibm-granite-granite-3.3-2B-Instruct",
        "granite",
        false,
        false,
    ),
    ("meta-llama-Llama-3.2-3B-Instruct", "llama3", true, false),
    ("microsoft-Phi-3.5-mini-instruct", "none", false, false),
    (
        "mistralai-Ministral-3-14B-Reasoning-2512",
        "mistral",
        true,
        false,
    ),
    ("muse-glimmer", "atem", true, false),
    ("openai-gpt-oss-120b", "harmony", true, false),
    ("unsloth-Apriel-1.5", "apriel", true, false),
];

fn tools() -> Vec<Value> {
    vec![
        json!({"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters":
        {"type": "object", "properties": {"city": {"type": "string", "description": "City."}}, "required": ["city"]}}}),
    ]
}

fn render(
    template: &ChatTemplate,
    messages: &Value,
    prompt: bool,
    tokens: &[(&str, &Value)],
) -> Option<String> {
    let messages: Vec<Message> = serde_json::from_value(messages.clone()).unwrap();
    let mut options = PromptOptions {
        add_generation_prompt: prompt,
        ..PromptOptions::default()
    };
    for (name, token) in tokens {
        options.extra.insert((*name).to_owned(), (*token).clone());
    }
    template
        .render(
            &template_vars(template, &messages, &tools(), &options),
            None,
        )
        .ok()
}

/// The parts of the assistant's turn with a tool call, as the template writes it.
fn call_parts(
    format: &ChatFormat,
    template: &ChatTemplate,
    tokens: &[(&str, &Value)],
) -> Option<Vec<Part>> {
    let user = json!({"role": "user", "content": "Weather?"});
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"id": "call00001", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]});
    let prompt = render(template, &json!([user]), true, tokens)?;
    let whole = render(template, &json!([user, call]), false, tokens)?;
    let shared = prompt
        .char_indices()
        .zip(whole.chars())
        .take_while(|((_, a), b)| a == b)
        .count();
    let shared: String = prompt.chars().take(shared).collect();
    // Where the two part inside a marker, the turn begins with the marker.
    let open = shared
        .rfind('<')
        .filter(|&open| !shared[open..].contains('>'));
    let (prompt, turn) = whole.split_at(open.unwrap_or(shared.len()));
    let mut splitter = Splitter::new(format, prompt, &tools());
    let mut parts: Vec<Part> = turn
        .chars()
        .flat_map(|c| splitter.push(0, &c.to_string()))
        .collect();
    parts.extend(splitter.finish());
    Some(parts)
}

#[test]
fn formats_fit_real_templates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/templates/golden.json.xz");
    let Ok(file) = File::open(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let mut text = String::new();
    lzma_rust2::XzReader::new(BufReader::new(file), true)
        .read_to_string(&mut text)
        .unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for (name, entry) in record["templates"].as_object().unwrap() {
        let source = entry["text"].as_str().unwrap();
        let tokens = [
            ("bos_token", &entry["bos_token"]),
            ("eos_token", &entry["eos_token"]),
        ];
        let template = ChatTemplate::new(source).unwrap();
        let format = ChatFormat::detect(Some(source), |_| false);
        let parts = call_parts(&format, &template, &tokens).unwrap_or_default();
        let called = parts.iter().any(|part| {
            matches!(part, Part::ToolCall(call) if call.function.name == "get_weather"
                && call.function.arguments == "{\"city\":\"Paris\"}")
        });
        let prompt = render(
            &template,
            &json!([{"role": "user", "content": "Hi"}]),
            true,
            &tokens,
        );
        let opens = prompt.is_some_and(|prompt| format.starts_in_reasoning(&prompt));
        found.push((name.as_str(), format.name.clone(), called, opens));
    }
    let found: Vec<_> = found
        .iter()
        .map(|(name, format, called, opens)| (*name, format.as_str(), *called, *opens))
        .collect();
    assert_eq!(found, EXPECTED);
}

/// The same round trip with a template of our own.
#[test]
fn a_template_and_its_format_agree() {
    const SOURCE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
        {% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}\
        {% for c in m.tool_calls %}\n<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}\
        {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let template = ChatTemplate::new(SOURCE).unwrap();
    let format = ChatFormat::detect(Some(SOURCE), |_| false);
    assert_eq!(format.name, "hermes");
    let parts = call_parts(&format, &template, &[]).unwrap();
    let [Part::ToolCall(call)] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!(call.id.as_deref(), Some("call_0"));
    assert_eq!(call.function.name, "get_weather");
    assert_eq!(call.function.arguments, "{\"city\":\"Paris\"}");

    let thought = json!({"role": "assistant", "content": "4", "reasoning": "2 + 2"});
    let user = json!({"role": "user", "content": "2+2?"});
    let prompt = render(&template, &json!([user]), true, &[]).unwrap();
    let whole = render(&template, &json!([user, thought]), false, &[]).unwrap();
    let mut splitter = Splitter::new(&format, &prompt, &tools());
    let mut parts = splitter.push(0, whole.strip_prefix(&prompt).unwrap());
    parts.extend(splitter.finish());
    assert_eq!(
        parts,
        [Part::Reasoning("2 + 2".into()), Part::Content("4".into())]
    );
}
