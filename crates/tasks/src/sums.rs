//! Additions, subtractions and multiplications, step by step.

use crate::draw::Draw;
use crate::thought::Step;

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '×',
        }
    }

    pub(crate) fn apply(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
        }
    }
}

/// `a±b=c`, without spaces: each of them would be a token.
fn equation(a: i64, operation: Operation, b: i64) -> String {
    claim(a, operation, b, operation.apply(a, b))
}

fn claim(a: i64, operation: Operation, b: i64, c: i64) -> String {
    format!("{a}{}{b}={c}", operation.sign())
}

/// The step that works out `a sign b`.
pub(crate) fn step(a: i64, operation: Operation, b: i64, draw: &mut Draw) -> Step {
    let right = operation.apply(a, b);
    let wrong = wrong(right, draw);
    let (back, is_found) = match operation {
        Operation::Add => (a, back_from_sum(wrong, b)),
        Operation::Subtract => (a, back_from_difference(wrong, b)),
        Operation::Multiply => (right, multiply_from_above(a, b)),
    };
    let check = match operation {
        Operation::Add => back_from_sum(right, b),
        Operation::Subtract => back_from_difference(right, b),
        Operation::Multiply => multiply_from_above(a, b),
    };
    let not = match operation {
        Operation::Multiply => wrong,
        _ => back,
    };
    Step {
        work: work(a, operation, b),
        result: equation(a, operation, b),
        check: format!("check: {check}, right"),
        slip: Some((
            claim(a, operation, b, wrong),
            format!("check: {is_found}, not {not}, again"),
        )),
    }
}

/// Tens first, then what is left.
fn work(a: i64, operation: Operation, b: i64) -> Vec<String> {
    let line = match operation {
        Operation::Add | Operation::Subtract => in_parts(a, operation, b),
        Operation::Multiply => {
            let (large, small) = (a.max(b), a.min(b));
            let (tens, units) = (large / 10 * 10, large % 10);
            match tens > 0 && units > 0 && small > 1 {
                true => Some(format!(
                    "{}, {}, {}",
                    equation(tens, operation, small),
                    equation(units, operation, small),
                    in_parts(tens * small, Operation::Add, units * small)
                        .unwrap_or_else(|| equation(tens * small, Operation::Add, units * small))
                )),
                false => None,
            }
        }
    };
    line.into_iter().collect()
}

/// `a ± tens, ± units`; nothing where `b` is one of the two alone.
fn in_parts(a: i64, operation: Operation, b: i64) -> Option<String> {
    let (tens, units) = (b / 10 * 10, b % 10);
    (tens > 0 && units > 0).then(|| {
        let first = equation(a, operation, tens);
        let second = equation(operation.apply(a, tens), operation, units);
        format!("{first}, {second}")
    })
}

fn back_from_sum(sum: i64, b: i64) -> String {
    in_parts(sum, Operation::Subtract, b).unwrap_or_else(|| equation(sum, Operation::Subtract, b))
}

fn back_from_difference(difference: i64, b: i64) -> String {
    in_parts(difference, Operation::Add, b)
        .unwrap_or_else(|| equation(difference, Operation::Add, b))
}

/// From the next ten downwards; one factor the other way round where there is none.
fn multiply_from_above(a: i64, b: i64) -> String {
    let (large, small) = (a.max(b), a.min(b));
    let missing = (10 - large % 10) % 10;
    if large < 10 || missing == 0 {
        return equation(b, Operation::Multiply, a);
    }
    let above = large + missing;
    format!(
        "{}, {}, {}",
        equation(above, Operation::Multiply, small),
        equation(missing, Operation::Multiply, small),
        equation(above * small, Operation::Subtract, missing * small)
    )
}

/// A result that is wrong in the way in which results go wrong.
fn wrong(right: i64, draw: &mut Draw) -> i64 {
    let by = draw.weighted(&[(3, 1), (3, 10), (1, 2), (1, 9), (1, 11)]);
    match right < by || draw.chance(50) {
        true => right + by,
        false => right - by,
    }
}
