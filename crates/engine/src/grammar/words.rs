//! The vocabulary as grammars see it.

use std::collections::{HashMap, HashSet};

use super::calls::literal;
use ponder_tokenizer::{Tokenizer, split::ChatFormat, tools::ToolSyntax};
use toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

/// What is known of each token that has a logit.
#[derive(Debug)]
pub(super) struct Words {
    /// Its bytes, control tokens included.
    bytes: Vec<Vec<u8>>,
    /// Tokens that no text holds, only their ids: control tokens and markers.
    special: HashSet<u32>,
    /// Special tokens by their bytes.
    by_bytes: HashMap<Vec<u8>, u32>,
    /// Tokens of nothing but white space.
    pub(super) blank: Vec<u32>,
    /// Tokens that begin with a brace, or with white space and a brace.
    pub(super) braces: Vec<u32>,
    /// Tokens that end a turn.
    pub(super) stop: Vec<u32>,
}

impl Words {
    pub(super) fn new(
        tokenizer: &Tokenizer,
        format: &ChatFormat,
        stop: &[u32],
        vocab_size: usize,
    ) -> Self {
        // A tokenizer may have tokens that the model has no logit for, and the other way round.
        let ids = 0..vocab_size as u32;
        let bytes: Vec<Vec<u8>> = ids.clone().map(|id| tokenizer.token_bytes(id)).collect();
        let mut stop: Vec<u32> = stop.to_vec();
        stop.retain(|&id| (id as usize) < vocab_size);
        stop.sort_unstable();
        stop.dedup();
        let markers = markers(format);
        let is_marker = |id: u32| {
            let text = std::str::from_utf8(&bytes[id as usize]).unwrap_or_default();
            let is_tag = [('<', '>'), ('[', ']')]
                .iter()
                .any(|&(open, close)| text.starts_with(open) && text.ends_with(close));
            // Brackets and letters alone are text, in whatever list they stand.
            text.len() > 2 && (is_tag || markers.iter().any(|marker| marker.contains(text)))
        };
        let special = |&id: &u32| {
            let is_added = tokenizer.is_added(id) && !bytes[id as usize].is_empty();
            tokenizer.is_special(id) || stop.contains(&id) || (is_added && is_marker(id))
        };
        let special: HashSet<u32> = ids.clone().filter(special).collect();
        let named = |&id: &u32| (bytes[id as usize].clone(), id);
        let by_bytes = special
            .iter()
            .map(named)
            .filter(|(bytes, _)| !bytes.is_empty());
        let by_bytes = by_bytes.collect();
        let is_blank = |&id: &u32| {
            let bytes = &bytes[id as usize];
            !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace)
        };
        let is_brace = |&id: &u32| bytes[id as usize].trim_ascii_start().starts_with(b"{");
        let braces = ids.clone().filter(is_brace).collect();
        let blank = ids.filter(is_blank).collect();
        Self {
            braces,
            blank,
            bytes,
            by_bytes,
            special,
            stop,
        }
    }

    /// The tokens of the vocabulary with their bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..).zip(self.bytes.iter().map(Vec::as_slice))
    }

    /// The bytes of a token; none for one that is unknown.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// The special token that is this text as a whole.
    pub(super) fn special(&self, text: &str) -> Option<u32> {
        self.by_bytes.get(text.as_bytes()).copied()
    }

    /// A text with its special tokens, as part of a grammar.
    pub(super) fn markup(&self, text: &str) -> String {
        let mut parts = Vec::new();
        let mut plain = 0;
        let mut at = 0;
        while at < text.len() {
            let ends = (at + 1..=text.len()).rev();
            let mut tokens = ends.filter_map(|end| Some((end, self.special(text.get(at..end)?)?)));
            let Some((end, id)) = tokens.next() else {
                at += 1;
                continue;
            };
            if plain < at {
                parts.push(literal(&text[plain..at]));
            }
            parts.push(format!("<[{id}]>"));
            (plain, at) = (end, end);
        }
        if plain < text.len() {
            parts.push(literal(&text[plain..]));
        }
        parts.join(" ")
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The same for the library: special tokens have no bytes there, so that only a grammar that
    /// names their ids lets them come.
    pub(super) fn environment(&self) -> TokEnv {
        let word = |(id, bytes): (u32, &[u8])| {
            // The byte marks special tokens there, and is never part of a text.
            let is_text = !self.special.contains(&id) && !bytes.contains(&0xff);
            if is_text { bytes.to_vec() } else { Vec::new() }
        };
        let words: Vec<Vec<u8>> = self.iter().map(word).collect();
        let end = self.stop.first().copied().unwrap_or(INVALID_TOKEN);
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
        let trie = match self.stop.is_empty() {
            true => trie,
            false => trie.with_eos_tokens(&self.stop),
        };
        std::sync::Arc::new(ApproximateTokEnv::new(trie))
    }
}

/// Everything that a family marks thoughts, messages and calls with.
fn markers(format: &ChatFormat) -> Vec<&str> {
    let mut markers: Vec<&str> = format.drop.iter().map(String::as_str).collect();
    if let Some(reasoning) = &format.reasoning {
        markers.extend([reasoning.open.as_str(), &reasoning.close]);
    }
    if let Some(tools) = &format.tools {
        markers.push(&tools.open);
        markers.extend(tools.close.as_deref());
        match &tools.syntax {
            ToolSyntax::NamedJson { separator } => markers.push(separator),
            ToolSyntax::Sections {
                open,
                separator,
                close,
            } => markers.extend([open.as_str(), separator, close]),
            ToolSyntax::Braces { quote } => markers.push(quote),
            _ => {}
        }
    }
    if let Some(headers) = &format.headers {
        markers.extend([headers.start.as_str(), &headers.message]);
        markers.extend(headers.channel.as_deref());
        markers.extend(headers.end.iter().map(String::as_str));
    }
    markers
}
