//! [`ChatFormat`]: a family's markers, as data.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::tools::ToolSyntax;

/// The markers that a family writes; one file of `models/chat`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatFormat {
    /// The file's name without its ending; `none` for a model without markers.
    #[serde(skip)]
    pub name: String,
    detect: Detect,
    /// How thoughts are marked, if the family thinks aloud.
    pub reasoning: Option<ReasoningFormat>,
    /// How tools are called, if the family calls tools.
    pub tools: Option<ToolFormat>,
    /// For families that write messages with headers instead of plain text.
    pub headers: Option<HeaderFormat>,
    /// Tokens that end the turn, beside those of the tokenizer.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Markers around the answer, which are layout.
    #[serde(default)]
    pub drop: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detect {
    /// All of these stand in the template.
    template: Vec<String>,
    /// All of these are tokens.
    #[serde(default)]
    vocabulary: Vec<String>,
}

/// How a family marks its thoughts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasoningFormat {
    /// Opens a thought; empty where [`HeaderFormat`] says what a thought is.
    #[serde(default)]
    pub open: String,
    /// Closes a thought.
    pub close: String,
    /// Words by which the family hands over from a cut thought to the answer, before `close`.
    #[serde(default)]
    pub hand_over: String,
    /// What the template expects between `close` and the answer.
    #[serde(default)]
    pub after_close: String,
    /// The markers are control tokens, which an answer cannot merely mention.
    #[serde(default)]
    pub anywhere: bool,
}

/// How a family calls tools.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFormat {
    /// Opens the calls; empty where a header does.
    #[serde(default)]
    pub open: String,
    /// Closes the calls; where there is none, a call ends with its JSON or with the turn.
    pub close: Option<String>,
    /// A turn that is nothing but a JSON call needs no marker.
    #[serde(default)]
    pub bare: bool,
    /// How the calls are written.
    pub syntax: ToolSyntax,
}

/// Messages like `<|start|>assistant<|channel|>analysis<|message|>…<|end|>`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderFormat {
    /// Opens a header.
    pub start: String,
    /// Stands inside headers, and opens one where `start` was left out.
    #[serde(default)]
    pub channel: Option<String>,
    /// Ends the header; the body follows.
    pub message: String,
    /// Each ends a body.
    pub end: Vec<String>,
    /// A header with one of these, and without a tool's name, opens a thought.
    pub reasoning: Vec<String>,
    /// Recipients (`to=…`) that are no tools.
    pub recipients: Vec<String>,
    /// What stands before a tool's name in its recipient.
    #[serde(default)]
    pub namespace: String,
    /// Headers, behind the role, of messages that call a tool; `NAME` stands for the tool's name.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Headers, behind the role, of messages beside the answer that the user sees too.
    #[serde(default)]
    pub asides: Vec<String>,
}

/// The markers of a thought, from [`ChatFormat::thought_markers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThoughtMarkers<'a> {
    /// Opens a thought: of a header, what makes it one of a thought.
    pub open: String,
    /// Closes a thought and leads to the answer.
    pub close: &'a str,
    /// Bytes of `close` that close the thought; the others lead on.
    pub n_decisive: usize,
    /// Other markers that close a thought.
    pub others: Vec<&'a str>,
}

impl ChatFormat {
    /// The first format of `models/chat` that fits the template's text. Where that says nothing
    /// of how tools are called, the first that fits the vocabulary; format `none` if nothing fits.
    pub fn detect(template: Option<&str>, has_token: impl Fn(&str) -> bool) -> Self {
        let by_template = template.and_then(|text| {
            Self::all().iter().find(|format| {
                format
                    .detect
                    .template
                    .iter()
                    .all(|piece| text.contains(piece))
            })
        });
        if let Some(format) =
            by_template.filter(|format| format.tools.is_some() || format.headers.is_some())
        {
            return format.clone();
        }
        let by_vocabulary = Self::all().iter().find(|format| {
            let pieces = &format.detect.vocabulary;
            !pieces.is_empty() && pieces.iter().all(|piece| has_token(piece))
        });
        by_vocabulary
            .or(by_template)
            .cloned()
            .unwrap_or_else(Self::none)
    }

    /// The format of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all()
            .iter()
            .find(|format| format.name == name)
            .cloned()
    }

    /// No markers: everything is content.
    pub fn none() -> Self {
        Self {
            name: "none".to_owned(),
            detect: Detect::default(),
            reasoning: None,
            tools: None,
            headers: None,
            stop: Vec::new(),
            drop: Vec::new(),
        }
    }

    /// Every format, in the order in which they are tried.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<ChatFormat>> = OnceLock::new();
        ALL.get_or_init(|| {
            let parse = |&(name, text): &(&str, &str)| {
                let format: Self = toml::from_str(text)
                    .unwrap_or_else(|err| panic!("models/chat/{name}.toml: {err}"));
                Self {
                    name: name.to_owned(),
                    ..format
                }
            };
            ponder_models::CHAT.iter().map(parse).collect()
        })
    }

    /// The markers of a thought as they are written, if the family thinks aloud.
    pub fn thought_markers(&self) -> Option<ThoughtMarkers<'_>> {
        let reasoning = self.reasoning.as_ref()?;
        let close = reasoning.close.as_str();
        let Some(headers) = &self.headers else {
            return Some(ThoughtMarkers {
                open: reasoning.open.clone(),
                close,
                n_decisive: close.len(),
                others: Vec::new(),
            });
        };
        let channel = headers.channel.as_deref().unwrap_or("");
        let kind = headers.reasoning.first().map_or("", String::as_str);
        let ends = headers.end.iter().map(String::as_str);
        let decisive = ends.clone().find(|end| close.starts_with(end));
        Some(ThoughtMarkers {
            open: format!("{channel}{kind}"),
            close,
            n_decisive: decisive.map_or(close.len(), str::len),
            others: ends.chain([headers.start.as_str(), channel]).collect(),
        })
    }

    /// Whether a prompt that ends like this has already opened the thought.
    pub fn starts_in_reasoning(&self, prompt_tail: &str) -> bool {
        match (&self.headers, &self.reasoning) {
            (Some(headers), _) => {
                headers
                    .open_header(prompt_tail)
                    .is_some_and(|(header, in_body)| {
                        in_body && headers.kind(header) == super::headers::Kind::Reasoning
                    })
            }
            (None, Some(reasoning)) => {
                let open = reasoning.open.trim_end();
                !open.is_empty() && prompt_tail.trim_end().ends_with(open)
            }
            (None, None) => false,
        }
    }
}
