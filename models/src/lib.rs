//! Model families, chat formats and the registry of short names, as data: no code beyond `include_str!`.
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
