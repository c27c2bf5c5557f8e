//! Model families, chat formats and the registry of short names, as data: no code beyond `include_str!`.

/// How byte-level BPE splits text, by the name that a GGUF file gives; TOML.
pub const PRE_TOKENIZERS: &str = include_str!("../pre_tokenizers.toml");

/// Short model names and where they lie on the hub; TOML.
pub const REGISTRY: &str = include_str!("../registry.toml");
