//! The ways from a thought, or from the beginning of a turn, to the answer, for one family.

use ponder_tokenizer::{
    Tokenizer,
    split::{ChatFormat, HeaderFormat},
};

use super::{
    lead::{To, Way},
    marker::Marker,
    words::Words,
};

/// Bytes of white space before an answer at least.
const LEAST_BLANK: usize = 8;

/// What a family may write before an answer.
#[derive(Debug)]
pub(super) struct Leads {
    /// Between messages, or where there are none of them before anything else.
    pub(super) outside: Vec<Way>,
    /// Inside a header, behind the role.
    pub(super) header: Vec<Way>,
    /// Bytes of white space that may come before an answer.
    pub(super) blank: usize,
    /// An answer needs a header before it.
    pub(super) has_headers: bool,
    headers: Option<HeaderFormat>,
    /// What stands between the start marker and the kind of a message.
    role: String,
    /// Closes a thought.
    pub(super) close: Option<Marker>,
    /// Opens calls in the middle of a text.
    pub(super) calls: Option<Marker>,
}

impl Leads {
    pub(super) fn new(format: &ChatFormat, tokenizer: &Tokenizer, words: &Words) -> Self {
        let reasoning = format.reasoning.as_ref();
        let after_close = reasoning.map_or("", |reasoning| reasoning.after_close.as_str());
        let mut leads = Self {
            outside: Vec::new(),
            header: Vec::new(),
            blank: after_close.len().max(LEAST_BLANK),
            has_headers: false,
            headers: format.headers.clone(),
            role: String::new(),
            close: None,
            calls: None,
        };
        let way = |text: &str, to| Way::new(text, to, tokenizer, words);
        let markers = format.thought_markers();
        match (&format.headers, &markers) {
            (Some(headers), Some(markers)) => {
                let answer = &markers.close[markers.n_decisive..];
                if let Some((role, kind)) = role(headers, answer) {
                    leads.has_headers = true;
                    leads.role = role.to_owned();
                    let header = [headers.start.as_str(), role].concat();
                    leads.outside = vec![way(&header, To::Header)];
                    leads.header = vec![way(kind, To::Answer)];
                    leads
                        .header
                        .extend(thought(headers, kind).map(|text| way(&text, To::Thought)));
                    let asides = headers.asides.iter();
                    let asides = asides.map(|aside| aside.clone() + &headers.message);
                    leads
                        .header
                        .extend(asides.map(|text| way(&text, To::Aside)));
                }
            }
            (None, Some(markers)) => {
                if !markers.open.is_empty() {
                    leads.outside.push(way(&markers.open, To::Thought));
                }
                // What is more than white space in there is a marker that is layout.
                if !after_close.trim().is_empty() {
                    leads.outside.push(way(after_close, To::Start));
                    leads.outside.push(way(after_close.trim_start(), To::Start));
                }
                leads.close = Marker::new(markers.close, tokenizer, words);
            }
            _ => {}
        }
        if let (None, Some(tools)) = (&format.headers, &format.tools) {
            leads.calls = Marker::new(&tools.open, tokenizer, words);
        }
        leads
    }

    /// Tokens that it takes to open a thought, at most.
    pub(super) fn opening_tokens(&self) -> usize {
        let ways = self.outside.iter().chain(&self.header);
        let thoughts = ways.filter(|way| way.to == To::Thought);
        thoughts.map(|way| way.n_tokens).max().unwrap_or(1)
    }

    /// Whether a prompt ends behind the header of an answer.
    pub(super) fn is_in_body(&self, prompt: &str) -> bool {
        let headers = self.headers.as_ref();
        headers.is_some_and(|headers| matches!(headers.open_header(prompt), Some((_, true))))
    }

    /// How much of each way in a header a prompt has written, if it ends inside of one.
    pub(super) fn in_header(&self, prompt: &str) -> Option<Vec<(usize, usize)>> {
        let headers = self.headers.as_ref().filter(|_| self.has_headers)?;
        let (header, _) = headers
            .open_header(prompt)
            .filter(|(_, is_whole)| !is_whole)?;
        let kind = header.strip_prefix(self.role.as_str()).unwrap_or_default();
        let begun = begun(&self.header, |text| {
            text.starts_with(kind.as_bytes()).then_some(kind.len())
        });
        Some(begun)
    }

    /// What a marker has begun that opens a header where a message is not closed: ways outside of
    /// headers, or inside of one.
    pub(super) fn opened_by(&self, token: &[u8]) -> (bool, Vec<(usize, usize)>) {
        let behind = |text: &[u8]| {
            let at = text.windows(token.len()).position(|part| part == token);
            at.map(|at| at + token.len())
        };
        if !self.has_headers || token.is_empty() {
            return (false, Vec::new());
        }
        let outside = begun(&self.outside, behind);
        if !outside.is_empty() {
            return (false, outside);
        }
        let header = begun(&self.header, behind);
        (!header.is_empty(), header)
    }

    /// Whether a token ends a message.
    pub(super) fn ends_message(&self, token: &[u8]) -> bool {
        let Some(headers) = self.headers.as_ref().filter(|_| self.has_headers) else {
            return false;
        };
        let markers = headers
            .end
            .iter()
            .chain([&headers.start])
            .chain(&headers.channel);
        markers.into_iter().any(|marker| marker.as_bytes() == token)
    }
}

fn begun(ways: &[Way], written: impl Fn(&[u8]) -> Option<usize>) -> Vec<(usize, usize)> {
    let ways = ways.iter().enumerate();
    ways.filter_map(|(way, path)| Some((way, written(path.text())?)))
        .collect()
}

/// The role in the header of an answer, and what stands behind it.
fn role<'a>(headers: &HeaderFormat, answer: &'a str) -> Option<(&'a str, &'a str)> {
    let header = answer.strip_prefix(headers.start.as_str())?;
    let at = match &headers.channel {
        Some(channel) => header.find(channel.as_str())?,
        None => header.find(' ')?,
    };
    Some(header.split_at(at))
}

/// What stands behind the role in the header of a thought, made from that of an answer.
fn thought(headers: &HeaderFormat, answer: &str) -> Option<String> {
    let kind = headers.reasoning.first()?;
    let before = headers.channel.as_deref().unwrap_or(" ");
    answer.strip_prefix(before)?;
    Some(format!("{before}{kind}{}", headers.message))
}
