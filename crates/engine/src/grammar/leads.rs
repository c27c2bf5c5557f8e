//! The ways from a thought, or from the beginning of a turn, to the answer, for one family.

use ponder_tokenizer::{
    Tokenizer,
    split::{ChatFormat, HeaderFormat},
};

use super::{
    lead::{To, Way},
    words::Words,
};

/// Bytes of white space before an answer at least.
const LEAST_BLANK: usize = 8;

/// What a family may write before an answer.
#[derive(Debug)]
pub(super) struct Leads {
    pub(super) ways: Vec<Way>,
    /// Bytes of white space that may come before an answer.
    pub(super) blank: usize,
    /// An answer needs a header before it.
    pub(super) has_headers: bool,
    headers: Option<HeaderFormat>,
    /// Tokens that would close a thought and go on with words, after so many bytes of the marker.
    beyond_close: Vec<Vec<u32>>,
}

impl Leads {
    pub(super) fn new(format: &ChatFormat, tokenizer: &Tokenizer, words: &Words) -> Self {
        let reasoning = format.reasoning.as_ref();
        let after_close = reasoning.map_or("", |reasoning| reasoning.after_close.as_str());
        let mut ways = Vec::new();
        let mut add = |text: &str, to| {
            if !text.is_empty() {
                ways.push(Way::new(text, to, tokenizer, words));
            }
        };
        let markers = format.thought_markers();
        let mut beyond_close = Vec::new();
        match (&format.headers, &markers) {
            (Some(headers), Some(markers)) => {
                let answer = &markers.close[markers.n_decisive..];
                add(answer, To::Answer);
                if let Some(thought) = thought_header(headers, answer) {
                    add(&thought, To::Thought);
                }
            }
            (None, Some(markers)) => {
                add(&markers.open, To::Thought);
                // What is more than white space in there is a marker that is layout.
                if !after_close.trim().is_empty() {
                    add(after_close, To::Start);
                    add(after_close.trim_start(), To::Start);
                }
                beyond_close = beyond(markers.close.as_bytes(), words);
            }
            _ => {}
        }
        Self {
            ways,
            blank: after_close.len().max(LEAST_BLANK),
            has_headers: format.headers.is_some() && markers.is_some(),
            headers: format.headers.clone(),
            beyond_close,
        }
    }

    /// Tokens that it takes to open a thought, at most.
    pub(super) fn opening_tokens(&self) -> usize {
        let thoughts = self.ways.iter().filter(|way| way.to == To::Thought);
        thoughts.map(|way| way.n_tokens).max().unwrap_or(1)
    }

    /// Whether a prompt ends behind the header of an answer.
    pub(super) fn is_in_body(&self, prompt: &str) -> bool {
        let headers = self.headers.as_ref();
        headers.is_some_and(|headers| matches!(headers.open_header(prompt), Some((_, true))))
    }

    /// The ways that a prompt has begun, if it ends inside a header.
    pub(super) fn written(&self, prompt: &str) -> Option<Vec<(usize, usize)>> {
        let headers = self.headers.as_ref()?;
        let (header, _) = headers
            .open_header(prompt)
            .filter(|(_, is_whole)| !is_whole)?;
        let begun = headers.start.clone() + header;
        self.begun(|text| text.starts_with(begun.as_bytes()).then_some(begun.len()))
    }

    /// The ways that a token has begun which closed a thought by opening a header.
    pub(super) fn opened_by(&self, token: &[u8]) -> Option<Vec<(usize, usize)>> {
        if !self.has_headers || token.is_empty() {
            return None;
        }
        self.begun(|text| {
            let at = text.windows(token.len()).position(|part| part == token);
            at.map(|at| at + token.len())
        })
    }

    fn begun(&self, written: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<(usize, usize)>> {
        let ways = self.ways.iter().enumerate();
        let begun: Vec<(usize, usize)> = ways
            .filter_map(|(way, path)| Some((way, written(path.text())?)))
            .collect();
        (!begun.is_empty()).then_some(begun)
    }

    /// Tokens that would close a thought and go on with words, where so many bytes of the marker are
    /// written.
    pub(super) fn beyond_close(&self, marker_bytes: usize) -> &[u32] {
        self.beyond_close
            .get(marker_bytes)
            .map_or(&[], Vec::as_slice)
    }
}

/// The header of a thought, made from that of an answer.
fn thought_header(headers: &HeaderFormat, answer: &str) -> Option<String> {
    let kind = headers.reasoning.first()?;
    let inner = answer.strip_suffix(headers.message.as_str())?;
    let role = match &headers.channel {
        Some(channel) => &inner[..inner.rfind(channel.as_str())? + channel.len()],
        None => &inner[..=inner.rfind(' ')?],
    };
    Some(format!("{role}{kind}{}", headers.message))
}

/// Tokens that complete a marker after so many of its bytes and hold more than white space behind it.
pub(super) fn beyond(marker: &[u8], words: &Words) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new(); marker.len()];
    for (id, bytes) in words.iter() {
        for (at, beyond) in all.iter_mut().enumerate() {
            let rest = bytes.strip_prefix(&marker[at..]);
            if rest.is_some_and(|rest| !rest.trim_ascii().is_empty()) {
                beyond.push(id);
            }
        }
    }
    all
}
