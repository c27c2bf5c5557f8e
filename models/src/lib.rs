//! Model families, chat formats and the registry, as data: no code beyond `include_str!`.

/// How byte-level BPE splits text, by the name that a GGUF file gives; TOML.
pub const PRE_TOKENIZERS: &str = include_str!("../pre_tokenizers.toml");
