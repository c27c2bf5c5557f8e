//! What an answer says in the end, in a form in which equal answers are equal.
//!
//! The first of these that there is: a JSON value that is the whole answer; the last `\boxed{…}`; the
//! number, letter or words behind the last "answer is" or "answer:"; the last number; the letter of an
//! option; the text itself, if it is short.

use serde_json::Value;

/// The longest text that is compared as it is.
const MAX_TEXT_CHARS: usize = 80;

/// The key of an answer; `None` where it says nothing that others could say too.
pub(crate) fn key(answer: &str) -> Option<String> {
    let answer = answer.trim();
    if let Some(json) = json(answer) {
        return Some(json);
    }
    if let Some(boxed) = last_boxed(answer) {
        return plain(boxed);
    }
    if let Some(said) = behind_answer(answer) {
        return last_number(said)
            .or_else(|| option(said))
            .or_else(|| plain(said));
    }
    last_number(answer)
        .or_else(|| option(answer))
        .or_else(|| plain(answer))
}

/// An object or a list, with its keys in order and numbers as numbers.
fn json(answer: &str) -> Option<String> {
    let fenced = answer
        .strip_prefix("```json")
        .or(answer.strip_prefix("```"));
    let inner = fenced.and_then(|text| text.strip_suffix("```"));
    let value: Value = serde_json::from_str(inner.unwrap_or(answer)).ok()?;
    (value.is_object() || value.is_array()).then(|| canonical(&value))
}

pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields = fields.iter().map(|(name, value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Number(value) => number(&value.to_string()).unwrap_or_else(|| value.to_string()),
        other => other.to_string(),
    }
}

/// What stands in the last `\boxed{…}`.
pub(super) fn last_boxed(answer: &str) -> Option<&str> {
    const OPEN: &str = "\\boxed{";
    let start = answer.rfind(OPEN)? + OPEN.len();
    let mut depth = 1;
    for (at, letter) in answer[start..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&answer[start..start + at]);
        }
    }
    None
}

/// The line behind the last "answer is", "answer:" or "Answer =".
pub(super) fn behind_answer(answer: &str) -> Option<&str> {
    let lower = answer.to_ascii_lowercase();
    let cue = ["answer is", "answer:", "answer =", "answer**:", "answer:**"];
    let end = cue
        .iter()
        .filter_map(|cue| Some(lower.rfind(cue)? + cue.len()))
        .max()?;
    let line = answer[end..].trim_start_matches([' ', ':', '*', '\n']);
    let line = line.lines().next()?.trim();
    (!line.is_empty()).then_some(line)
}

/// The last number of a text, as the number that it is.
pub(super) fn last_number(text: &str) -> Option<String> {
    let is_part =
        |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ',' | '/' | '-' | '−');
    let words = text.split(|letter: char| !is_part(letter));
    words
        .filter(|word| word.contains(|letter: char| letter.is_ascii_digit()))
        .filter_map(number)
        .next_back()
}

/// A number without what does not count: separators, a sign of nothing, zeros at the end. Fractions
/// are what they are worth.
fn number(word: &str) -> Option<String> {
    let word = word
        .trim_end_matches(['.', ',', '-', '/'])
        .trim_start_matches([',', '/', '.']);
    let word = word.replace('−', "-");
    // A dash that joins (3-4) is no sign.
    let word = match word.rfind('-') {
        Some(at) if at > 0 => word[at + 1..].to_owned(),
        _ => word,
    };
    let plain = match is_grouped(&word) {
        true => word.replace(',', ""),
        false => word.rsplit(',').next().unwrap_or_default().to_owned(),
    };
    let value = match plain.split_once('/') {
        Some((above, below)) => above.parse::<f64>().ok()? / below.parse::<f64>().ok()?,
        None => plain.parse::<f64>().ok()?,
    };
    // Twelve digits, so that 0.1 + 0.2 is 0.3.
    value.is_finite().then(|| {
        let text = format!("{value:.11e}");
        format!("{}", text.parse::<f64>().unwrap_or(value) + 0.0)
    })
}

/// Whether a word is a number and nothing else: no list (1,2), nothing that joins two (3-4, 10:30).
fn is_one_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '−']);
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | ',' | '/');
    digits.chars().all(is_part) && (is_grouped(digits) || !digits.contains(','))
}

/// Whether commas stand between groups of three digits.
fn is_grouped(word: &str) -> bool {
    let whole = word.split('.').next().unwrap_or_default();
    let mut groups = whole.trim_start_matches('-').split(',');
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3)
}

/// The letter of an option: alone, in brackets, or before a bracket or full stop.
fn option(text: &str) -> Option<String> {
    let is_option = |word: &&str| {
        let inner = word.trim_matches(['(', ')', '*', '.', ':', '"', ',']);
        let is_letter = inner.len() == 1 && inner.as_bytes()[0].is_ascii_uppercase();
        // "I" and "A" are words too.
        is_letter && (inner != *word || !matches!(inner, "I" | "A") || text.len() == 1)
    };
    let mut words = text.split_whitespace();
    let found = words.rfind(is_option)?;
    Some(
        found
            .trim_matches(['(', ')', '*', '.', ':', '"', ','])
            .to_owned(),
    )
}

/// A short text without the dress that it wears; see [`bare`].
fn plain(text: &str) -> Option<String> {
    bare(text).filter(|text| text.chars().count() <= MAX_TEXT_CHARS)
}

/// A text without the dress that it wears: case, spaces, marks around it; or the number that it is.
pub(super) fn bare(text: &str) -> Option<String> {
    let inner = text
        .trim()
        .trim_matches(['$', '*', '`', '"', '.', ' '])
        .trim_start_matches("\\text{")
        .trim_end_matches('}');
    if let Some(number) = number(inner).filter(|_| is_one_number(inner)) {
        return Some(number);
    }
    let words: Vec<&str> = inner.split_whitespace().collect();
    let text = words.join(" ").replace(" ,", ",").replace(", ", ",");
    (!text.is_empty()).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(answers: &[&str]) -> Vec<Option<String>> {
        answers.iter().map(|answer| key(answer)).collect()
    }

    #[track_caller]
    fn same(expected: &str, answers: &[&str]) {
        for (answer, key) in answers.iter().zip(keys(answers)) {
            assert_eq!(key.as_deref(), Some(expected), "{answer:?}");
        }
    }

    #[test]
    fn numbers_are_numbers() {
        same(
            "391",
            &[
                "391",
                "391.0",
                "17 * 23 = 391.",
                "The answer is **391**.",
                "So: \\boxed{391}",
                "It costs $391.00",
            ],
        );
        same("1234567", &["1,234,567", "It is 1234567 in all."]);
        same("-3", &["x = -3", "−3", "The final answer is: -3."]);
        same("0.5", &["1/2", "0.50", "\\boxed{0.5}"]);
        same("0.3", &["0.30000000000000004", "0.3"]);
        same(
            "4",
            &[
                "It is 3-4",
                "1, 2, 3, 4",
                "Answer: 4 apples in 2 baskets? No: the answer is 4",
            ],
        );
    }

    #[test]
    fn other_answers_have_their_forms() {
        same(
            "B",
            &["B", "(B)", "**B**", "The answer is B.", "I choose (B)"],
        );
        same(
            "{\"a\":1,\"b\":[2]}",
            &[
                "{\"b\": [2.0], \"a\": 1}",
                "```json\n{\"a\":1,\"b\":[2]}\n```",
            ],
        );
        same(
            "paris",
            &[
                "Paris",
                "**Paris**.",
                "The answer is Paris.",
                "\\boxed{\\text{Paris}}",
            ],
        );
        assert_eq!(key(&"word ".repeat(50)), None);
        assert_eq!(keys(&["", " \n"]), [None, None]);
        same("3-4", &["\\boxed{3-4}"]);
        same("1,2,3", &["\\boxed{1, 2, 3}", "\\boxed{1,2,3}"]);
        assert_eq!(
            key("\\boxed{{1}").as_deref(),
            Some("1"),
            "a box that is cut"
        );
    }
}
