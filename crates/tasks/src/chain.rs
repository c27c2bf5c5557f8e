//! Sums of several numbers, with brackets.

use crate::draw::Draw;
use crate::sums::{self, Operation};
use crate::thought::Step;
use crate::{Item, Kind};

/// The largest number on the way.
const LIMIT: i64 = 199;

/// What is left of a sum: its numbers, the operations between them, and the pair in brackets.
#[derive(Clone)]
struct Expression {
    numbers: Vec<i64>,
    operations: Vec<Operation>,
    /// The number that the brackets open before; they hold two.
    brackets: Option<usize>,
}

impl Expression {
    fn text(&self, space: &str) -> String {
        let mut text = String::new();
        for (i, number) in self.numbers.iter().enumerate() {
            if i > 0 {
                let sign = self.operations[i - 1].sign();
                text += &format!("{space}{sign}{space}");
            }
            match self.brackets {
                Some(at) if at == i => text += &format!("({number}"),
                Some(at) if at + 1 == i => text += &format!("{number})"),
                _ => text += &number.to_string(),
            }
        }
        text
    }

    /// Which operation comes first: in brackets, then multiplications, then from the left.
    fn first(&self) -> usize {
        let multiplication = |operation: &Operation| *operation == Operation::Multiply;
        self.brackets
            .or_else(|| self.operations.iter().position(multiplication))
            .unwrap_or(0)
    }

    /// Puts a result in the place of the operation that made it.
    fn reduce(&mut self, at: usize) {
        let b = self.numbers.remove(at + 1);
        self.numbers[at] = self.operations.remove(at).apply(self.numbers[at], b);
        self.brackets = None;
    }

    /// Whether everything on the way is a number that the questions are about.
    fn is_fair(&self) -> bool {
        let mut rest = self.clone();
        while !rest.operations.is_empty() {
            let at = rest.first();
            let product = rest.operations[at] == Operation::Multiply;
            if product && rest.numbers[at].min(rest.numbers[at + 1]) > 9 {
                return false;
            }
            rest.reduce(at);
            if !(0..=LIMIT).contains(&rest.numbers[at]) {
                return false;
            }
        }
        true
    }
}

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let expression = loop {
        let expression = any(draw);
        if expression.is_fair() {
            break expression;
        }
    };
    // As people write it.
    let text = match draw.number(0, 10) {
        0 => expression.text(" ").replace('×', "*"),
        1 => expression.text(" ").replace('×', "x"),
        2 => expression.text("").replace('×', "*"),
        3 => expression.text(""),
        4 => ["+ plus", "- minus", "× times"]
            .iter()
            .filter_map(|sign| sign.split_once(' '))
            .fold(expression.text(" "), |text, (sign, word)| {
                text.replace(sign, word)
            }),
        _ => expression.text(" "),
    };
    let question = match draw.number(0, 9) {
        0 | 1 => format!("What is {text}?"),
        2 => format!("Calculate {text}."),
        3 => format!("{text} = ?"),
        4 => format!("Work out {text}."),
        5 => format!("How much is {text}?"),
        6 => format!("Compute {text}"),
        7 => format!("what is {text}"),
        8 => format!("{text}="),
        _ => text.clone(),
    };
    let (mut rest, mut steps) = (expression, Vec::new());
    while !rest.operations.is_empty() {
        let at = rest.first();
        let (a, b) = (rest.numbers[at], rest.numbers[at + 1]);
        let mut step = sums::step(a, rest.operations[at], b, draw);
        if rest.operations.len() > 1 {
            step.work.insert(0, rest.text(""));
        }
        rest.reduce(at);
        steps.push(step);
    }
    let item = Item {
        task: "chain",
        question,
        answer: rest.numbers[0].to_string(),
        kind: Kind::Number,
    };
    (item, steps)
}

fn any(draw: &mut Draw) -> Expression {
    let n = draw.weighted(&[(3, 1), (4, 2), (4, 3), (2, 4)]);
    let operations: Vec<_> = (0..n)
        .map(|_| {
            draw.weighted(&[
                (4, Operation::Add),
                (4, Operation::Subtract),
                (3, Operation::Multiply),
            ])
        })
        .collect();
    let most = draw.weighted(&[(2, 12), (7, 99), (1, 150)]);
    let numbers = (0..=n)
        .map(|i| {
            let factor = |at: usize| operations.get(at) == Some(&Operation::Multiply);
            match factor(i) || (i > 0 && factor(i - 1)) {
                true => match draw.chance(75) {
                    true => draw.number(1, 19),
                    false => draw.number(1, 66),
                },
                false => draw.number(0, most),
            }
        })
        .collect();
    let brackets = (n > 1 && draw.chance(35)).then(|| draw.number(0, n as i64 - 1) as usize);
    Expression {
        numbers,
        operations,
        brackets,
    }
}
