//! Who is first, from what is said about pairs of people.

use crate::draw::Draw;
use crate::thought::Step;
use crate::{Item, Kind};

pub(crate) const NAMES: &[&str] = &[
    "Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo", "Mia",
    "Ned", "Olga", "Pia", "Ravi", "Sam", "Tom", "Uma",
];

/// More, less, most, least.
const QUALITIES: &[[&str; 4]] = &[
    ["taller", "shorter", "tallest", "shortest"],
    ["older", "younger", "oldest", "youngest"],
    ["faster", "slower", "fastest", "slowest"],
    ["heavier", "lighter", "heaviest", "lightest"],
];

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let n = draw.number(3, 5) as usize;
    let people = draw.some(n, NAMES);
    let [more, less, most, least] = QUALITIES[draw.number(0, 3) as usize];
    // Neighbours in the order, which lead from the first to the last.
    let mut pairs: Vec<usize> = (0..n - 1).collect();
    draw.shuffle(&mut pairs);
    let mut facts = Vec::new();
    let mut signs = Vec::new();
    for &at in &pairs {
        let (high, low) = (people[at], people[at + 1]);
        facts.push(match draw.chance(50) {
            true => format!("{high} is {more} than {low}."),
            false => format!("{low} is {less} than {high}."),
        });
        signs.push(format!("{high}>{low}"));
    }
    let (asked, answer) = match draw.chance(50) {
        true => (most, people[0]),
        false => (least, people[n - 1]),
    };
    let order = people.join(">");
    let mut turned = people.clone();
    let at = draw.number(0, n as i64 - 2) as usize;
    turned.swap(at, at + 1);
    let step = Step {
        work: vec![signs.join(", ")],
        result: format!("{order}, {asked} {answer}"),
        check: format!("check: {}, right", signs.join(" yes, ") + " yes"),
        slip: Some((
            turned.join(">"),
            format!("check: {}>{} no, again", people[at], people[at + 1]),
        )),
    };
    let item = Item {
        task: "order",
        question: format!("{} Who is the {asked}?", facts.join(" ")),
        answer: answer.to_owned(),
        kind: Kind::Exact,
    };
    (item, vec![step])
}
