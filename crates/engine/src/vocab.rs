//! The vocabulary of a GGUF file, from its metadata to what the tokenizer is built from, and back.

use ponder_runtime::weights::WeightsError;
use ponder_runtime::weights::gguf::{Metadata, Value};
use ponder_tokenizer::GgufVocab;

/// Reads all `tokenizer.*` metadata. Whether it makes sense as a vocabulary is for
/// [`ponder_tokenizer::Tokenizer::from_gguf`] to say.
///
/// # Errors
/// When `tokenizer.ggml.model` or the tokens are missing, or a value is of the wrong kind.
pub fn gguf_vocab(metadata: &Metadata) -> Result<GgufVocab, WeightsError> {
    let reader = Reader(metadata);
    let tokens = reader.strings("tokens")?;
    if tokens.is_empty() {
        return Err(metadata.missing("tokenizer.ggml.tokens"));
    }
    let types = reader.whole_numbers("token_type")?;
    let stop = reader.whole_numbers("eos_token_ids")?;
    let charsmap = reader.whole_numbers("precompiled_charsmap")?;
    Ok(GgufVocab {
        name: metadata
            .opt_str("general.name")
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_owned(),
        model: metadata.str("tokenizer.ggml.model")?.to_owned(),
        pre: metadata.opt_str("tokenizer.ggml.pre")?.map(str::to_owned),
        tokens,
        scores: metadata
            .opt_f32s("tokenizer.ggml.scores")?
            .unwrap_or_default(),
        // A kind that is no i32 is none that is known: as good as "undefined", 0.
        types: types
            .into_iter()
            .map(|kind| i32::try_from(kind).unwrap_or(0))
            .collect(),
        merges: reader.strings("merges")?,
        bos: reader.id("bos")?,
        eos: reader.id("eos")?,
        eot: reader.id("eot")?,
        eom: reader.id("eom")?,
        unk: reader.id("unknown")?,
        pad: reader.id("padding")?,
        stop: stop
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .collect(),
        add_bos: reader.flag("add_bos_token")?,
        add_eos: reader.flag("add_eos_token")?,
        add_space_prefix: reader.flag("add_space_prefix")?,
        remove_extra_whitespaces: reader.flag("remove_extra_whitespaces")?,
        // Bytes, which files write as signed ones too.
        precompiled_charsmap: charsmap.into_iter().map(|byte| byte as u8).collect(),
        chat_template: metadata
            .opt_str("tokenizer.chat_template")?
            .map(str::to_owned),
        named_chat_templates: named_chat_templates(metadata),
    })
}

/// The metadata that [`gguf_vocab`] reads: the inverse, but for `general.name`.
pub(crate) fn vocab_metadata(vocab: &GgufVocab) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let mut put = |name: &str, value: Value| out.push((Reader::key(name), value));
    put("model", vocab.model.as_str().into());
    if let Some(pre) = &vocab.pre {
        put("pre", pre.as_str().into());
    }
    put("tokens", vocab.tokens.as_slice().into());
    if !vocab.scores.is_empty() {
        put("scores", vocab.scores.as_slice().into());
    }
    put("token_type", vocab.types.as_slice().into());
    if !vocab.merges.is_empty() {
        put("merges", vocab.merges.as_slice().into());
    }
    let ids = [
        ("bos", vocab.bos),
        ("eos", vocab.eos),
        ("eot", vocab.eot),
        ("eom", vocab.eom),
        ("unknown", vocab.unk),
        ("padding", vocab.pad),
    ];
    for (name, id) in ids.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        put(&format!("{name}_token_id"), id.into());
    }
    if !vocab.stop.is_empty() {
        let stop: Vec<i32> = vocab.stop.iter().map(|id| *id as i32).collect();
        put("eos_token_ids", stop.as_slice().into());
    }
    let flags = [
        ("add_bos_token", vocab.add_bos),
        ("add_eos_token", vocab.add_eos),
        ("add_space_prefix", vocab.add_space_prefix),
        ("remove_extra_whitespaces", vocab.remove_extra_whitespaces),
    ];
    for (name, flag) in flags
        .into_iter()
        .filter_map(|(name, flag)| Some((name, flag?)))
    {
        put(name, flag.into());
    }
    let template = |name: String, source: &str| (name, Value::from(source));
    if let Some(source) = &vocab.chat_template {
        out.push(template("tokenizer.chat_template".into(), source));
    }
    for (name, source) in &vocab.named_chat_templates {
        out.push(template(format!("tokenizer.chat_template.{name}"), source));
    }
    out
}

/// Getters for keys below `tokenizer.ggml.`.
struct Reader<'a>(&'a Metadata);

impl Reader<'_> {
    fn key(name: &str) -> String {
        format!("tokenizer.ggml.{name}")
    }

    /// Bytes that are no UTF-8 become U+FFFD: pieces that are then the same are refused as
    /// duplicates, not mixed up.
    fn strings(&self, name: &str) -> Result<Vec<String>, WeightsError> {
        let strings = self.0.opt_strings(&Self::key(name))?;
        Ok(strings
            .into_iter()
            .flatten()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect())
    }

    fn whole_numbers(&self, name: &str) -> Result<Vec<i64>, WeightsError> {
        Ok(self.0.opt_i64s(&Self::key(name))?.unwrap_or_default())
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, WeightsError> {
        self.0.opt_bool(&Self::key(name))
    }

    /// An id; one that no vocabulary can hold (some converters write -1 as u32) is none.
    fn id(&self, name: &str) -> Result<Option<u32>, WeightsError> {
        let id = self.0.opt_i64(&Self::key(&format!("{name}_token_id")))?;
        Ok(id
            .and_then(|id| u32::try_from(id).ok())
            .filter(|&id| id != u32::MAX))
    }
}

/// `tokenizer.chat_template.NAME`.
fn named_chat_templates(metadata: &Metadata) -> Vec<(String, String)> {
    let named = metadata.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("tokenizer.chat_template.")?;
        Some((name.to_owned(), value.as_str()?.to_owned()))
    });
    named.collect()
}
