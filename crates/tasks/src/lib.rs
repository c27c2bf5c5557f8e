//! Questions with exact answers, made from a seed: arithmetic chains, comparisons, sorting, counting
//! letters, orders of people and word problems of one to four steps.
//!
//! [`item`] is what `ponder eval` asks. [`lesson`] is the same question with the thoughts that lead
//! to its answer, in three lengths; the default model learns from these.
//!
//! A seed and a number always make the same item: change nothing here that would change one, or
//! results are no longer comparable.
#![forbid(unsafe_code)]

mod chain;
mod compare;
mod draw;
mod letters;
mod order;
mod sort;
mod stories;
mod sums;
mod thought;

use draw::Draw;
use thought::Step;
pub use thought::{Length, Line};

/// A question and what answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The name of the kind of question.
    pub task: &'static str,
    /// What is asked.
    pub question: String,
    /// The value that is right, alone.
    pub answer: String,
    /// How an answer is compared with it.
    pub kind: Kind,
}

/// How an answer is compared with the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As a number.
    Number,
    /// As the letter of an option.
    Choice,
    /// As text, but for case and what surrounds it.
    Exact,
    /// As a JSON value.
    Json,
    /// As what stands in `\boxed{}`.
    Boxed,
}

/// An item, and how to think about it.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// The question and its answer.
    pub item: Item,
    steps: Vec<Step>,
    draw: Draw,
}

impl Lesson {
    /// The thought in lines.
    #[must_use]
    pub fn thought(&self, length: Length) -> Vec<Line> {
        thought::lines(&self.steps, length, &mut self.draw.clone())
    }
}

/// The `index`-th item of a seed. There is no last one.
#[must_use]
pub fn item(seed: u64, index: u64) -> Item {
    lesson(seed, index).item
}

/// The same with the thoughts that lead to its answer.
#[must_use]
pub fn lesson(seed: u64, index: u64) -> Lesson {
    let mut draw = Draw::new(seed, index);
    let make = draw.weighted(&[
        (8, chain::make as fn(&mut Draw) -> (Item, Vec<Step>)),
        (2, compare::make),
        (2, sort::make),
        (3, letters::make),
        (2, order::make),
        (6, stories::make),
    ]);
    let (item, steps) = make(&mut draw);
    Lesson { item, steps, draw }
}

#[cfg(test)]
mod tests;
