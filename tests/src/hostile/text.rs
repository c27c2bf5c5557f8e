//! Vocabularies and chat templates.

use ponder_runtime::weights::Checkpoint;
use ponder_tokenizer::chat::{ChatTemplate, LocalTime};
use ponder_tokenizer::{GgufVocab, Tokenizer};
use serde_json::json;

use super::checkpoint::{folder, write};
use super::parts;

/// Text that goes through every tokenizer that could be built.
const SAMPLE: &str =
    "Hello  world!\n\t12345 d\u{e9}j\u{e0} \u{4f60}\u{597d} \u{1f389}<|im_end|> <0x0A> \u{2581}";

/// A vocabulary. `{` begins the parts `tokenizer.json`, `tokenizer_config.json` and
/// `generation_config.json` of a folder, `GGUF` a GGUF file. Anything else is its metadata in a
/// form that mutates better: model, pre-tokenizer, pieces and merges (one a line), scores and types
/// (a byte each), special ids and flags (a byte each), character map, and template.
pub fn tokenizer(input: &[u8]) {
    let tokenizer = if input.starts_with(b"{") {
        let [tokenizer, config, generation_config] = parts(input);
        let folder = folder();
        write(&folder, "tokenizer.json", tokenizer);
        write(&folder, "tokenizer_config.json", config);
        write(&folder, "generation_config.json", generation_config);
        Tokenizer::from_folder(folder.path())
    } else if input.starts_with(b"GGUF") {
        let Some(vocab) = embedded_vocab(input) else {
            return;
        };
        Tokenizer::from_gguf(vocab)
    } else {
        Tokenizer::from_gguf(gguf_vocab(input))
    };
    if let Ok(tokenizer) = tokenizer {
        round_trip(&tokenizer);
    }
}

fn embedded_vocab(input: &[u8]) -> Option<GgufVocab> {
    let checkpoint = Checkpoint::from_bytes(input.to_vec()).ok()?;
    ponder_engine::gguf_vocab(checkpoint.gguf()?).ok()
}

fn gguf_vocab(input: &[u8]) -> GgufVocab {
    let [
        model,
        pre,
        tokens,
        merges,
        scores,
        types,
        ids,
        charsmap,
        template,
    ] = parts(input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = |bytes: &[u8]| match bytes {
        [] => Vec::new(),
        bytes => text(bytes).split('\n').map(str::to_owned).collect(),
    };
    // `-` and what is missing stand for nothing.
    let byte = |at: usize| ids.get(at).copied().filter(|&byte| byte != b'-');
    let id = |at: usize| byte(at).map(|byte| u32::from(byte).wrapping_sub(48));
    let flag = |at: usize| byte(at).map(|byte| byte == b'1');
    GgufVocab {
        model: text(model),
        pre: (!pre.is_empty()).then(|| text(pre)),
        tokens: lines(tokens),
        merges: lines(merges),
        scores: scores.iter().map(|&byte| 48.0 - f32::from(byte)).collect(),
        types: types.iter().map(|&byte| i32::from(byte) - 48).collect(),
        add_bos: flag(0),
        add_eos: flag(1),
        add_space_prefix: flag(2),
        remove_extra_whitespaces: flag(3),
        bos: id(4),
        eos: id(5),
        eot: id(6),
        eom: id(7),
        unk: id(8),
        pad: id(9),
        precompiled_charsmap: charsmap.to_vec(),
        chat_template: (!template.is_empty()).then(|| text(template)),
        ..GgufVocab::default()
    }
}

/// Encodes, decodes at once and as a stream, and looks at all ids.
fn round_trip(tokenizer: &Tokenizer) {
    let n = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    for id in (0..n.min(1000)).chain([n, u32::MAX]) {
        let _ = (tokenizer.piece(id), tokenizer.token_bytes(id));
        let _ = (tokenizer.is_special(id), tokenizer.is_added(id));
    }
    for text in ["", " ", SAMPLE] {
        let Ok(ids) = tokenizer.encode(text, true) else {
            continue;
        };
        let whole = tokenizer.decode(&ids, false);
        let mut stream = tokenizer.decode_stream();
        let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id).ok()).collect();
        streamed += &stream.finish();
        assert_eq!(streamed, whole, "streaming differs from decoding at once");
    }
}

/// A chat template. Parts: its source and its variables as JSON.
///
/// # Panics
/// If it does what an entry point must not do, or this machine cannot hold a date.
pub fn template(input: &[u8]) {
    let [source, vars] = parts(input);
    let source = String::from_utf8_lossy(source);
    let vars = serde_json::from_slice(vars).unwrap_or_else(|_| json!({ "messages": [] }));
    let now: LocalTime = "2026-01-15T12:34:56".parse().expect("a date");
    if let Ok(template) = ChatTemplate::new(&source) {
        let _ = template.render(&vars, Some(now));
    }
}
