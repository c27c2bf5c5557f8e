//! Emphasis and code spans within a line.
//!
//! The rules are CommonMark's, narrowed where prose of models would suffer: `*` within a
//! word is a multiplication sign, spans end at the end of the line, and a marker without its
//! partner is text. Links keep their address, which terminals make clickable.

use anstyle::Effects;

/// A span that stays open for more bytes than this is taken for text, so that a lonely
/// asterisk does not hold back a paragraph.
pub(super) const LONGEST_SPAN: usize = 240;

/// A piece of text in one style.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) effects: Effects,
    pub(super) is_code: bool,
}

/// Splits the beginning of a line's rest into spans.
///
/// `last` is the character before `line`. Returns the spans and the number of bytes that
/// they stand for; that is all of them when the line is `complete`.
pub(super) fn spans(line: &str, complete: bool, last: Option<char>) -> (Vec<Span>, usize) {
    let mut spans = Vec::new();
    let consumed = parse(line, complete, last, Effects::new(), &mut spans);
    (spans, consumed)
}

/// What stands at a marker.
enum Found<'a> {
    /// A pair of markers of this many bytes around this text.
    Pair(usize, &'a str),
    /// Text of this many bytes.
    Text(usize),
    /// Not decided before more of the line is there.
    Undecided,
}

fn parse(
    line: &str,
    complete: bool,
    mut last: Option<char>,
    effects: Effects,
    spans: &mut Vec<Span>,
) -> usize {
    let mut at = 0;
    while let Some(marker) = line[at..].chars().next() {
        let rest = &line[at..];
        // Looking no further than this bounds the time, the nesting and what is held back,
        // and makes the result independent of the pieces that the text came in.
        let window = &rest[..rest.floor_char_boundary(LONGEST_SPAN)];
        let decided = complete || window.len() < rest.len();
        let found = match marker {
            '\\' => escape(window, decided),
            '`' => code(window, decided),
            '*' | '_' => emphasis(window, marker, decided, last),
            _ => Found::Text(rest.find(['\\', '`', '*', '_']).unwrap_or(rest.len())),
        };
        let used = match found {
            Found::Undecided => return at,
            Found::Text(used) => {
                append(spans, unescaped(&rest[..used]), effects, false);
                used
            }
            Found::Pair(width, inner) => {
                if marker == '`' {
                    append(spans, trim_code(inner), effects, true);
                } else {
                    let inner_effects = effects | emphasis_of(width);
                    parse(inner, true, Some(marker), inner_effects, spans);
                }
                inner.len() + 2 * width
            }
        };
        last = rest[..used].chars().last();
        at += used;
    }
    at
}

/// A backslash before punctuation that would otherwise be a marker.
fn escape(rest: &str, complete: bool) -> Found<'_> {
    match rest[1..].chars().next() {
        None if !complete => Found::Undecided,
        Some('*' | '_' | '`') => Found::Text(2),
        _ => Found::Text(1),
    }
}

/// The text without the backslash of an escape.
fn unescaped(text: &str) -> &str {
    match text.strip_prefix('\\') {
        Some(escaped) if !escaped.is_empty() => escaped,
        _ => text,
    }
}

/// A code span: as many backticks at its end as at its beginning.
fn code(rest: &str, complete: bool) -> Found<'_> {
    let width = run_length(rest, '`');
    let mut at = width;
    while let Some(next) = rest[at..].find('`') {
        let end = at + next;
        let run = run_length(&rest[end..], '`');
        // A run at the end of the pending text may still grow.
        if end + run == rest.len() && !complete && run <= width {
            return Found::Undecided;
        }
        if run == width {
            return Found::Pair(width, &rest[width..end]);
        }
        at = end + run;
    }
    match complete {
        true => Found::Text(width),
        false => Found::Undecided,
    }
}

/// One space at both ends only separates backticks from the markers.
fn trim_code(inner: &str) -> &str {
    inner
        .strip_prefix(' ')
        .and_then(|inner| inner.strip_suffix(' '))
        .filter(|trimmed| !trimmed.trim().is_empty())
        .unwrap_or(inner)
}

/// Emphasis: one to three markers before a word, as many behind one.
fn emphasis(rest: &str, marker: char, complete: bool, last: Option<char>) -> Found<'_> {
    let width = run_length(rest, marker);
    let next = rest[width..].chars().next();
    if next.is_none() && !complete {
        return Found::Undecided;
    }
    let opens = next.is_some_and(|c| !c.is_whitespace());
    let is_within_word = last.is_some_and(char::is_alphanumeric)
        && (marker == '_' || next.is_some_and(char::is_alphanumeric));
    if width > 3 || !opens || is_within_word {
        return Found::Text(width);
    }
    closing(rest, marker, width, complete)
}

/// Looks for the run that closes an emphasis of `width` markers.
fn closing(rest: &str, marker: char, width: usize, complete: bool) -> Found<'_> {
    let mut at = width;
    while let Some(next) = rest[at..].find(['\\', '`', marker]) {
        let end = at + next;
        let here = &rest[end..];
        if let Some(escaped) = here.strip_prefix('\\') {
            at = end + 1 + escaped.chars().next().map_or(0, char::len_utf8);
            continue;
        }
        if here.starts_with('`') {
            // Markers within code are code.
            at = end
                + match code(here, complete) {
                    Found::Pair(ticks, inner) => inner.len() + 2 * ticks,
                    Found::Text(ticks) => ticks,
                    Found::Undecided => return Found::Undecided,
                };
            continue;
        }
        let run = run_length(here, marker);
        let behind = here[run..].chars().next();
        if behind.is_none() && !complete {
            return Found::Undecided;
        }
        let before = rest[..end].chars().last();
        let closes = before.is_some_and(|c| !c.is_whitespace())
            && (marker != '_' || !behind.is_some_and(char::is_alphanumeric));
        if run == width && closes {
            return Found::Pair(width, &rest[width..end]);
        }
        at = end + run;
    }
    match complete {
        true => Found::Text(width),
        false => Found::Undecided,
    }
}

fn emphasis_of(width: usize) -> Effects {
    match width {
        1 => Effects::ITALIC,
        2 => Effects::BOLD,
        _ => Effects::BOLD | Effects::ITALIC,
    }
}

/// Number of bytes of the markers that the text begins with; markers are ASCII.
fn run_length(text: &str, marker: char) -> usize {
    (text.len() - text.trim_start_matches(marker).len()).max(1)
}

/// Appends text, to the last span where that has the same style.
fn append(spans: &mut Vec<Span>, text: &str, effects: Effects, is_code: bool) {
    if let Some(span) = spans.last_mut()
        && (span.effects, span.is_code) == (effects, is_code)
    {
        span.text.push_str(text);
        return;
    }
    spans.push(Span {
        text: text.to_owned(),
        effects,
        is_code,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn styled(line: &str) -> Vec<(String, Effects, bool)> {
        let (spans, consumed) = spans(line, true, None);
        assert_eq!(consumed, line.len(), "a complete line is used up");
        spans
            .into_iter()
            .map(|span| (span.text, span.effects, span.is_code))
            .collect()
    }

    fn text(text: &str, effects: Effects) -> (String, Effects, bool) {
        (text.to_owned(), effects, false)
    }

    #[test]
    fn emphasis_nests() {
        let expected = vec![
            text("a ", Effects::BOLD),
            text("b", Effects::BOLD | Effects::ITALIC),
            ("c*".to_owned(), Effects::BOLD, true),
            text(" d", Effects::new()),
        ];
        assert_eq!(styled("**a *b*`c*`** d"), expected);
    }

    #[test]
    fn lonely_markers_are_text() {
        for line in [
            "2 * 3",
            "a*b*c",
            "snake_case_name",
            "*x",
            "`x",
            "** x **",
            "****",
            "\\",
        ] {
            assert_eq!(styled(line), vec![text(line, Effects::new())], "{line}");
        }
    }

    #[test]
    fn code_keeps_markers_and_backticks() {
        assert_eq!(
            styled("`` a`*b* ``"),
            vec![("a`*b*".to_owned(), Effects::new(), true)]
        );
    }

    #[test]
    fn undecided_spans_wait() {
        assert_eq!(spans("a **b", false, None).1, 2);
        assert_eq!(spans("a **b*", false, None).1, 2);
        assert_eq!(spans("a **b** ", false, None).1, 8);
        assert_eq!(spans("a `b`", false, None).1, 2);
        assert_eq!(spans("end\\", false, None).1, 3);
    }

    #[test]
    fn nesting_is_bounded() {
        // Deep nesting must neither overflow the stack nor take quadratic time.
        let line = "*_".repeat(50_000) + "x" + &"_*".repeat(50_000);
        assert_eq!(spans(&line, true, None).1, line.len());
    }
}
