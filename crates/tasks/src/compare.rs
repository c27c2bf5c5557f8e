//! Which of two numbers or sums is larger.

use crate::draw::Draw;
use crate::sums::{self, Operation};
use crate::thought::Step;
use crate::{Item, Kind};

struct Side {
    text: String,
    value: i64,
    step: Option<Step>,
}

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let (a, b) = loop {
        let (a, b) = (side(draw), side(draw));
        // Close enough that it takes a look.
        if a.value != b.value && a.value.abs_diff(b.value) <= 25 {
            break (a, b);
        }
    };
    let (word, a_is_it) = match draw.chance(50) {
        true => ("larger", a.value > b.value),
        false => ("smaller", a.value < b.value),
    };
    let (x, y) = (&a.text, &b.text);
    let are_numbers = a.step.is_none() && b.step.is_none();
    let (question, kind) = match draw.number(0, 3) {
        0 => (
            format!("Which is {word}: (A) {x} or (B) {y}?"),
            Kind::Choice,
        ),
        1 => (
            format!("(A) {x} (B) {y} Which one is {word}?"),
            Kind::Choice,
        ),
        2 if are_numbers => (format!("Which is {word}, {x} or {y}?"), Kind::Number),
        _ if are_numbers => (format!("Which number is {word}: {x} or {y}?"), Kind::Number),
        _ => (format!("Which is {word}: A) {x} or B) {y}?"), Kind::Choice),
    };
    let sign = if a.value > b.value { '>' } else { '<' };
    let (answer, result) = match (kind, a_is_it) {
        (Kind::Number, true) => (x.clone(), format!("{x}{sign}{y}, so {x}")),
        (Kind::Number, false) => (y.clone(), format!("{x}{sign}{y}, so {y}")),
        (_, true) => (
            "A".to_owned(),
            format!("A {}{sign}B {}, so A", a.value, b.value),
        ),
        (_, false) => (
            "B".to_owned(),
            format!("A {}{sign}B {}, so B", a.value, b.value),
        ),
    };
    let mut steps: Vec<Step> = [a.step, b.step].into_iter().flatten().collect();
    let (low, high) = (a.value.min(b.value), a.value.max(b.value));
    steps.push(Step {
        work: Vec::new(),
        result,
        check: format!("check: {high}-{low}={}, right", high - low),
        slip: None,
    });
    let item = Item {
        task: "compare",
        question,
        answer,
        kind,
    };
    (item, steps)
}

/// A number, or a sum of two.
fn side(draw: &mut Draw) -> Side {
    let (a, operation, b) = match draw.number(0, 4) {
        0 | 1 => {
            let value = draw.number(1, 150);
            return Side {
                text: value.to_string(),
                value,
                step: None,
            };
        }
        2 => (draw.number(10, 70), Operation::Add, draw.number(3, 50)),
        3 => (
            draw.number(40, 120),
            Operation::Subtract,
            draw.number(3, 39),
        ),
        _ => (draw.number(2, 19), Operation::Multiply, draw.number(2, 9)),
    };
    Side {
        text: format!("{a} {} {b}", operation.sign()),
        value: operation.apply(a, b),
        step: Some(sums::step(a, operation, b, draw)),
    }
}
