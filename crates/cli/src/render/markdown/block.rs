//! What a line is, decided from its first characters.

use anstyle::{AnsiColor, Style};

use super::heading;
use crate::render::style::colored;

/// How the rest of a line is rendered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line {
    /// Text with emphasis and code spans, in a base style.
    Text(Style),
    /// Every character as it is.
    Verbatim(Style),
}

/// The beginning of a line, or of the rest of a line behind a quote marker.
#[derive(Debug)]
pub(super) struct Start {
    /// What is shown instead of the consumed characters.
    pub(super) marker: String,
    pub(super) marker_style: Style,
    /// Bytes of the line that the marker stands for.
    pub(super) consumed: usize,
    /// How the rest is rendered; `None` asks for another look at the rest.
    pub(super) line: Option<Line>,
    /// The code block that this line opens.
    pub(super) fence: Option<Fence>,
    /// The marker was that of a quote.
    pub(super) is_quote: bool,
}

/// An open code block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    character: char,
    length: usize,
}

/// Longer lines are never held back for what they might become.
const LONGEST_MARKER: usize = 120;

impl Fence {
    /// Whether a line closes the block; `None` while it may still become so.
    pub(super) fn is_closed_by(self, line: &str, complete: bool) -> Option<bool> {
        let text = line.trim_start_matches(' ');
        let rest = text.trim_start_matches(self.character);
        let length = text.len() - rest.len();
        if !rest.trim().is_empty() || line.len() > LONGEST_MARKER {
            return Some(false);
        }
        complete.then_some(length >= self.length)
    }
}

/// Decides what the line is; `None` while its beginning is not enough to know.
pub(super) fn classify(line: &str, complete: bool) -> Option<Start> {
    let text = line.trim_start_matches([' ', '\t']);
    let indent = &line[..line.len() - text.len()];
    let Some(first) = text.chars().next() else {
        return (complete || line.len() > LONGEST_MARKER).then(paragraph);
    };
    let run = text.len() - text.trim_start_matches(first).len();
    let rest = &text[run..];
    let is_open = rest.is_empty() && !complete && line.len() <= LONGEST_MARKER;
    match first {
        '#' if run <= 6 => match rest.chars().next() {
            None if is_open => None,
            Some(' ') => Some(Start {
                marker: String::new(),
                marker_style: Style::new(),
                consumed: indent.len() + run + 1,
                line: Some(Line::Text(heading(run))),
                fence: None,
                is_quote: false,
            }),
            _ => Some(paragraph()),
        },
        '`' | '~' => fence(line, text, first, run, complete, is_open),
        '-' | '*' | '+' | '_' => rule_or_item(indent, text, first, complete),
        '>' => Some(Start {
            marker: format!("{indent}│ "),
            marker_style: Style::new().dimmed(),
            consumed: indent.len() + 1 + usize::from(text[1..].starts_with(' ')),
            line: None,
            fence: None,
            is_quote: true,
        })
        // The space behind the marker belongs to it, so it must have come.
        .filter(|_| complete || text.len() > 1),
        '|' => Some(verbatim(Style::new())),
        _ => Some(paragraph()),
    }
}

/// Three or more backticks or tildes open a code block, if the line is nothing else.
fn fence(
    line: &str,
    text: &str,
    character: char,
    length: usize,
    complete: bool,
    is_open: bool,
) -> Option<Start> {
    let info = &text[length..];
    if length < 3 {
        return (!is_open).then(paragraph);
    }
    if character == '`' && info.contains('`') {
        return Some(paragraph());
    }
    if !complete && line.len() <= LONGEST_MARKER {
        return None;
    }
    let mut start = verbatim(Style::new().dimmed());
    start.fence = Some(Fence { character, length });
    Some(start)
}

/// A horizontal rule is three or more of the same marker; a list item is one and a space.
fn rule_or_item(indent: &str, text: &str, first: char, complete: bool) -> Option<Start> {
    let only_markers = text.chars().all(|c| c == first || c == ' ');
    if only_markers && !complete && text.len() <= LONGEST_MARKER {
        return None;
    }
    let markers = text.chars().filter(|&c| c == first).count();
    if only_markers && complete && markers >= 3 && first != '+' {
        return Some(Start {
            marker: format!("{indent}────────"),
            marker_style: Style::new().dimmed(),
            consumed: indent.len() + text.len(),
            line: Some(Line::Verbatim(Style::new())),
            fence: None,
            is_quote: false,
        });
    }
    if first != '_' && text[1..].starts_with(' ') {
        return Some(Start {
            marker: format!("{indent}• "),
            marker_style: colored(AnsiColor::Cyan),
            consumed: indent.len() + 2,
            // A heading, a code block or another marker may stand in a list item.
            line: None,
            fence: None,
            is_quote: false,
        });
    }
    Some(paragraph())
}

fn paragraph() -> Start {
    Start {
        marker: String::new(),
        marker_style: Style::new(),
        consumed: 0,
        line: Some(Line::Text(Style::new())),
        fence: None,
        is_quote: false,
    }
}

fn verbatim(style: Style) -> Start {
    Start {
        marker: String::new(),
        marker_style: Style::new(),
        consumed: 0,
        line: Some(Line::Verbatim(style)),
        fence: None,
        is_quote: false,
    }
}
