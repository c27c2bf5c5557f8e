//! Model families, chat formats and the registry of short names, as data: no code beyond `include_str!`.

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
