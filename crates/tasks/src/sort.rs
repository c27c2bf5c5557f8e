//! Putting numbers in order.

use crate::draw::Draw;
use crate::thought::Step;
use crate::{Item, Kind};

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let n = draw.number(3, 6) as usize;
    let mut numbers: Vec<i64> = Vec::new();
    while numbers.len() < n {
        let number = draw.number(1, 99);
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let rises = draw.chance(60);
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    if !rises {
        sorted.reverse();
    }
    let (given, answer) = (list(&numbers, ", "), list(&sorted, ", "));
    let question = match (draw.number(0, 4), rises) {
        (0, true) => format!("Sort these numbers from smallest to largest: {given}"),
        (0, false) => format!("Sort these numbers from largest to smallest: {given}"),
        (1, true) => format!("Put {given} in ascending order."),
        (1, false) => format!("Put {given} in descending order."),
        (2, true) => format!("Sort {given} from small to large."),
        (2, false) => format!("Sort {given} from large to small."),
        (3, true) => format!("Sort these numbers: {given}"),
        (_, true) => format!("Sort {given}."),
        (_, false) => format!("Sort {given} in descending order."),
    };
    // The next one is taken out of those that are left, again and again.
    let mut left = numbers;
    let mut work = Vec::new();
    for next in &sorted[..n - 1] {
        work.push(format!("{}: {next}", list(&left, " ")));
        left.retain(|number| number != next);
    }
    let sign = if rises { "<" } else { ">" };
    let mut swapped = sorted.clone();
    let at = draw.number(0, n as i64 - 2) as usize;
    swapped.swap(at, at + 1);
    let step = Step {
        work,
        result: list(&sorted, " "),
        check: format!("check: {}, {n} numbers, right", list(&sorted, sign)),
        slip: Some((
            list(&swapped, " "),
            format!(
                "check: {}{sign}{} is wrong, again",
                swapped[at],
                swapped[at + 1]
            ),
        )),
    };
    let item = Item {
        task: "sort",
        question,
        answer,
        kind: Kind::Exact,
    };
    (item, vec![step])
}

fn list(numbers: &[i64], between: &str) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    texts.join(between)
}
