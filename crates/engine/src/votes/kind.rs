//! What an answer of a known form says: the value that is compared with the right one.
//!
//! 1. [`AnswerKind::expected`] makes the value of an answer that stands alone, as a task gives it.
//! 2. [`AnswerKind::value`] finds the value that a model's text gives in the end. The two are equal
//!    where the model is right.

use serde::{Deserialize, Serialize};
use serde_json::{Deserializer, Value};

use super::key::{bare, behind_answer, canonical, last_boxed, last_number};

/// Brackets at which a JSON value is looked for in a text.
const MAX_BRACKETS: usize = 64;

/// The form that the answer to a question has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerKind {
    /// The last number of what is said to be the answer, else of the text: `391`, `1,234.50`, `1/2`.
    Number,
    /// The letter of an option: `B`, `(B)`, `The answer is B.`
    Choice,
    /// What is said to be the answer, else the last line; case, spaces and marks around it do not
    /// count, and numbers are numbers.
    Exact,
    /// A JSON value: the whole text, the last fenced block, or the first object or list in the text.
    Json,
    /// What stands in the last `\boxed{…}`, compared as [`AnswerKind::Exact`] does.
    Boxed,
}

impl AnswerKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Number,
        Self::Choice,
        Self::Exact,
        Self::Json,
        Self::Boxed,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Choice => "choice",
            Self::Exact => "exact",
            Self::Json => "json",
            Self::Boxed => "boxed",
        }
    }

    /// The form that an answer has by itself: a number where it is one, else a text.
    pub fn of(answer: &str) -> Self {
        let is_number = bare(answer).is_some_and(|value| value.parse::<f64>().is_ok());
        match is_number && answer.contains(|letter: char| letter.is_ascii_digit()) {
            true => Self::Number,
            false => Self::Exact,
        }
    }

    /// The value of an answer that stands alone; `None` where it is none of this kind.
    pub fn expected(self, answer: &str) -> Option<String> {
        match self {
            Self::Number => bare(answer).filter(|_| Self::of(answer) == Self::Number),
            Self::Choice => letter(answer),
            Self::Exact => bare(answer),
            Self::Json => serde_json::from_str(answer.trim())
                .ok()
                .map(|value| canonical(&value)),
            Self::Boxed => bare(last_boxed(answer).unwrap_or(answer)),
        }
    }

    /// The value that a text gives in the end; `None` where nothing in it has this form.
    pub fn value(self, text: &str) -> Option<String> {
        let text = text.trim();
        let said = last_boxed(text).or_else(|| behind_answer(text));
        match self {
            Self::Number => said.and_then(last_number).or_else(|| last_number(text)),
            Self::Choice => said
                .and_then(said_choice)
                .or_else(|| letter(text))
                .or_else(|| choice(text)),
            Self::Exact => said.or_else(|| text.lines().last()).and_then(bare),
            Self::Json => json_within(text).map(|value| canonical(&value)),
            Self::Boxed => last_boxed(text).and_then(bare),
        }
    }
}

/// The letter of an option that stands alone, large.
fn letter(text: &str) -> Option<String> {
    let alone = bare(text.trim().trim_matches(['(', ')']))?;
    let is_letter = alone.len() == 1 && alone.as_bytes()[0].is_ascii_lowercase();
    is_letter.then(|| alone.to_ascii_uppercase())
}

/// The option that words behind "the answer is" name: first of all, or as a text does.
fn said_choice(said: &str) -> Option<String> {
    let first = said.split_whitespace().next()?;
    let is_large = first.contains(|letter: char| letter.is_ascii_uppercase());
    let first = letter(first).filter(|_| is_large);
    letter(said).or(first).or_else(|| choice(said))
}

/// The option that a text chooses. One that weighs several ("A is smaller than B.") chooses none,
/// unless it puts one of them in brackets or stars.
fn choice(text: &str) -> Option<String> {
    const MARKS: [char; 9] = ['(', ')', '[', ']', '*', '.', ':', '"', ','];
    let words = text.split_whitespace();
    let options = words.filter_map(|word| {
        let inner = word.trim_matches(MARKS);
        let is_letter = inner.len() == 1 && inner.as_bytes()[0].is_ascii_uppercase();
        // "I" is a word too.
        (is_letter && word != "I").then_some((inner, word.contains([')', ']', '*'])))
    });
    let options: Vec<(&str, bool)> = options.collect();
    let marked = options.iter().filter(|(_, is_marked)| *is_marked);
    only(marked.map(|(letter, _)| *letter)).or_else(|| only(options.iter().map(|one| one.0)))
}

/// What all options are, if that is one.
fn only<'a>(mut options: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = options.next()?;
    options
        .all(|other| other == first)
        .then(|| first.to_owned())
}

fn json_within(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let blocks: Vec<&str> = text.split("```").collect();
    // Between the fences stand the pieces with odd numbers.
    let fenced = blocks.iter().skip(1).step_by(2).next_back();
    let fenced = fenced.map(|block| block.strip_prefix("json").unwrap_or(block));
    if let Some(value) = fenced.and_then(|block| serde_json::from_str(block.trim()).ok()) {
        return Some(value);
    }
    let brackets = text.match_indices(['{', '[']).take(MAX_BRACKETS);
    brackets.map(|(at, _)| at).find_map(|at| {
        let mut values = Deserializer::from_str(&text[at..]).into_iter::<Value>();
        values.next()?.ok()
    })
}

#[cfg(test)]
mod tests {
    use super::AnswerKind::{Boxed, Choice, Exact, Json, Number};
    use super::*;

    #[track_caller]
    fn right(kind: AnswerKind, expected: &str, texts: &[&str]) {
        let expected = kind.expected(expected).expect("a value");
        for text in texts {
            assert_eq!(kind.value(text).as_ref(), Some(&expected), "{text:?}");
        }
    }

    #[track_caller]
    fn wrong(kind: AnswerKind, expected: &str, texts: &[&str]) {
        let expected = kind.expected(expected).expect("a value");
        for text in texts {
            assert_ne!(kind.value(text).as_ref(), Some(&expected), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_found_where_the_answer_is() {
        let texts = ["1692", "812 + 880 = **1,692**.", "\\boxed{1692.0}"];
        right(Number, "1692", &texts);
        right(
            Number,
            "-18",
            &["So it is −18.", "Answer: -18\n(of 4 steps)"],
        );
        wrong(Number, "-18", &["18", "", "eighteen", "-18 or 17"]);
        right(Number, "0.5", &["1/2"]);
        assert_eq!(Number.value("no number at all"), None);
        assert_eq!(Number.expected("seven"), None);
        assert_eq!(Number.expected("1, 2"), None);
    }

    #[test]
    fn choices_are_letters() {
        right(
            Choice,
            "B",
            &["B", "b", "(b)", "**B**", "The answer is (B).", "\\boxed{b}"],
        );
        right(Choice, "(c)", &["I choose C.", "Answer: C) seven"]);
        let weighed = [
            "The answer is B. A is smaller.",
            "The answer is B because A is smaller.",
            "A good choice is (B).",
            "Neither A nor C: **B**",
        ];
        right(Choice, "B", &weighed);
        right(
            Choice,
            "A",
            &["The answer is A because B is smaller.", "A: 44"],
        );
        for both in [
            "A is smaller than B.",
            "A: 50.\nB: 44.",
            "(A) or (B)",
            "I think",
        ] {
            assert_eq!(Choice.value(both), None, "{both}");
        }
        wrong(Choice, "B", &["A", "None of them", "BB", ""]);
        assert_eq!(Choice.expected("both"), None);
    }

    #[test]
    fn texts_are_compared_without_their_dress() {
        let texts = [
            "Zoey is a fool, and Riley is a sage.",
            "Let me see.\n\n**zoey is a fool,and  riley is a sage**",
            "The answer is Zoey is a fool, and Riley is a sage.",
        ];
        right(Exact, "Zoey is a fool, and Riley is a sage.", &texts);
        right(Exact, "['-1.0', '2']", &["['-1.0','2']"]);
        wrong(Exact, "Yes", &["No", "", "Yes and no", "Yes\nNo"]);
        wrong(Exact, "1,2", &["2", "12"]);
        wrong(Exact, "15-4", &["4", "-4"]);
        wrong(Exact, "10:41", &["41"]);
        let long = "word, ".repeat(40);
        right(Exact, &long, &[&long]);
        right(Exact, "007", &["7"]);
    }

    #[test]
    fn json_is_found_in_what_stands_around_it() {
        let texts = [
            r#"{"b": [2.0], "a": 1}"#,
            "Here:\n```json\n{\"a\":1,\"b\":[2]}\n```\nDone.",
            r#"It is {"a": 1, "b": [2]}, I think [sic]."#,
        ];
        right(Json, r#"{"a": 1, "b": [2]}"#, &texts);
        right(Json, "3", &["3.0"]);
        wrong(Json, "[]", &["", "{", &"[".repeat(100_000), "[1]"]);
        assert_eq!(Json.expected("{a: 1}"), None);
    }

    #[test]
    fn boxes_must_be_there() {
        right(Boxed, "x+1", &["\\boxed{x+1}", "$$\\boxed{ X+1 }$$ or so"]);
        right(Boxed, "\\boxed{7}", &["Thus \\boxed{7.0}."]);
        wrong(
            Boxed,
            "7",
            &["7", "The answer is 7", "\\boxed{8}", "\\boxed{7"],
        );
        assert_eq!(Boxed.value("7"), None);
    }

    #[test]
    fn what_looks_like_a_number_is_one() {
        for number in ["7", "-18", "2.220", "1,234", "1/2", " 3 ", "$5"] {
            assert_eq!(AnswerKind::of(number), Number, "{number}");
        }
        let texts = [
            "", "Yes", "1a", "1, 2", "02:38", "3-4", "inf", "nan", "5 apples", "-",
        ];
        for text in texts {
            assert_eq!(AnswerKind::of(text), Exact, "{text}");
        }
    }
}
