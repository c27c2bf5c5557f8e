//! How a thought is written down: results alone, with the work behind them, or checked.

use crate::draw::Draw;

/// How much of a thought is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// The result of each step.
    Short,
    /// The work that leads to it too.
    Medium,
    /// And a check of each step by another way.
    Long,
}

/// A line of a thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without the end of the line.
    pub text: String,
    /// Whether it is right. A slip is there to learn how it is found, not to be learnt.
    pub is_right: bool,
}

/// One step of a thought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// What leads to the result; may be nothing.
    pub(crate) work: Vec<String>,
    pub(crate) result: String,
    /// What shows by another way that the result is right; may be nothing.
    pub(crate) check: String,
    /// A wrong result, and the check that finds it.
    pub(crate) slip: Option<(String, String)>,
}

/// Long thoughts, in percent, in which a step is wrong at first.
const SLIPS: i64 = 20;

pub(crate) fn lines(steps: &[Step], length: Length, draw: &mut Draw) -> Vec<Line> {
    let slipping = match length {
        Length::Long if draw.chance(SLIPS) => draw.number(0, steps.len() as i64 - 1),
        _ => -1,
    };
    let mut lines = Vec::new();
    let mut push = |text: &str, is_right| {
        if !text.is_empty() {
            let text = text.to_owned();
            lines.push(Line { text, is_right });
        }
    };
    for (i, step) in steps.iter().enumerate() {
        if let Some((wrong, found)) = step.slip.as_ref().filter(|_| i as i64 == slipping) {
            push(wrong, false);
            push(found, true);
        }
        if length != Length::Short {
            step.work.iter().for_each(|work| push(work, true));
        }
        push(&step.result, true);
        if length == Length::Long {
            push(&step.check, true);
        }
    }
    lines
}
