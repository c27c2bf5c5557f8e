//! Whether an answer is right.

use serde::{Deserialize, Serialize};

use crate::Item;

/// What is to be said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Nothing in it has the form that was asked for.
    Format,
    Empty,
}

/// What an answer says in the end, and whether that is what the question's answer says.
pub(crate) fn check(item: &Item, content: &str) -> (Option<String>, Verdict) {
    let value = item.kind.value(content);
    let verdict = match &value {
        _ if content.trim().is_empty() => Verdict::Empty,
        None => Verdict::Format,
        value if *value == item.kind.expected(&item.answer) => Verdict::Right,
        Some(_) => Verdict::Wrong,
    };
    (value, verdict)
}

#[cfg(test)]
mod tests {
    use ponder_engine::AnswerKind;

    use super::*;

    #[test]
    fn answers_are_judged_by_kind() {
        let item = |kind| Item {
            question: "?".to_owned(),
            answer: "7".to_owned(),
            kind,
            group: String::new(),
            system: None,
        };
        let number = |content: &str| check(&item(AnswerKind::Number), content);
        assert_eq!(number("It is 7.0."), (Some("7".to_owned()), Verdict::Right));
        assert_eq!(number("Eight: 8"), (Some("8".to_owned()), Verdict::Wrong));
        assert_eq!(number("seven"), (None, Verdict::Format));
        assert_eq!(number(" \n"), (None, Verdict::Empty));
        let (_, verdict) = check(&item(AnswerKind::Boxed), "7");
        assert_eq!(verdict, Verdict::Format);
    }
}
