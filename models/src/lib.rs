//! Model families, chat formats and the registry of short names, as data: no code beyond `include_str!` and `include_bytes!`.
#![forbid(unsafe_code)]

/// The files of `families/`, by name without ending. `families/README.md` explains their fields.
pub const FAMILIES: &[(&str, &str)] = &[
    ("gemma3_text", include_str!("../families/gemma3_text.toml")),
    ("lfm2", include_str!("../families/lfm2.toml")),
    ("llama", include_str!("../families/llama.toml")),
    ("ministral3", include_str!("../families/ministral3.toml")),
    ("mistral", include_str!("../families/mistral.toml")),
    ("olmo3", include_str!("../families/olmo3.toml")),
    ("phi3", include_str!("../families/phi3.toml")),
    ("qwen2", include_str!("../families/qwen2.toml")),
    ("qwen3", include_str!("../families/qwen3.toml")),
    ("qwen3_moe", include_str!("../families/qwen3_moe.toml")),
    ("seed_oss", include_str!("../families/seed_oss.toml")),
    ("smollm3", include_str!("../families/smollm3.toml")),
];

/// The model that is part of the program, a GGUF file; `default/README.md` says how it was made.
pub const DEFAULT: &[u8] = include_bytes!("../default/model.gguf");

/// How byte-level BPE splits text, by the name that a GGUF file gives; TOML.
pub const PRE_TOKENIZERS: &str = include_str!("../pre_tokenizers.toml");

/// Short model names and where they lie on the hub; TOML.
pub const REGISTRY: &str = include_str!("../registry.toml");

/// The files of `chat/`, by name without ending, in the order in which they are tried.
pub const CHAT: &[(&str, &str)] = &[
    ("harmony", include_str!("../chat/harmony.toml")),
    ("atem", include_str!("../chat/atem.toml")),
    ("gemma4", include_str!("../chat/gemma4.toml")),
    ("seed", include_str!("../chat/seed.toml")),
    ("mistral", include_str!("../chat/mistral.toml")),
    ("deepseek", include_str!("../chat/deepseek.toml")),
    ("kimi", include_str!("../chat/kimi.toml")),
    ("glm", include_str!("../chat/glm.toml")),
    ("function_xml", include_str!("../chat/function_xml.toml")),
    ("lfm2", include_str!("../chat/lfm2.toml")),
    ("apriel", include_str!("../chat/apriel.toml")),
    ("granite", include_str!("../chat/granite.toml")),
    ("smollm3", include_str!("../chat/smollm3.toml")),
    ("hermes", include_str!("../chat/hermes.toml")),
    ("llama3", include_str!("../chat/llama3.toml")),
    ("think", include_str!("../chat/think.toml")),
];

/// What effort levels mean everywhere; TOML. `effort/README.md` explains the fields.
pub const LEVELS: &str = include_str!("../effort/levels.toml");

/// What effort levels mean for a family: the files of `effort/`, by name without ending, in the
/// order in which they are tried; the last fits everything.
pub const EFFORT: &[(&str, &str)] = &[
    ("gpt_oss", include_str!("../effort/gpt_oss.toml")),
    ("gemma4", include_str!("../effort/gemma4.toml")),
    ("seed_oss", include_str!("../effort/seed_oss.toml")),
    ("mistral", include_str!("../effort/mistral.toml")),
    ("magistral", include_str!("../effort/magistral.toml")),
    ("glm5_3", include_str!("../effort/glm5_3.toml")),
    ("glm5", include_str!("../effort/glm5.toml")),
    ("glm4", include_str!("../effort/glm4.toml")),
    ("granite", include_str!("../effort/granite.toml")),
    ("qwen3_8", include_str!("../effort/qwen3_8.toml")),
    ("nemotron", include_str!("../effort/nemotron.toml")),
    ("smollm3", include_str!("../effort/smollm3.toml")),
    (
        "levels_and_switch",
        include_str!("../effort/levels_and_switch.toml"),
    ),
    ("qwen3", include_str!("../effort/qwen3.toml")),
    ("deepseek", include_str!("../effort/deepseek.toml")),
    ("default", include_str!("../effort/default.toml")),
    ("levels_only", include_str!("../effort/levels_only.toml")),
    ("think", include_str!("../effort/think.toml")),
    ("silent", include_str!("../effort/silent.toml")),
];
