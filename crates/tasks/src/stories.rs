//! Word problems of one to four steps.

use crate::draw::Draw;
use crate::order::NAMES;
use crate::sums::{self, Operation};
use crate::thought::Step;
use crate::{Item, Kind};

const THINGS: &[&str] = &[
    "apples", "pears", "books", "coins", "stamps", "cards", "shells", "pens", "marbles", "cookies",
    "eggs", "stickers", "buttons", "balls", "flowers", "stones",
];

const BOXES: &[&str] = &["boxes", "bags", "shelves", "baskets", "drawers"];

/// The most that anybody has.
const LIMIT: i64 = 150;

struct Story<'a> {
    hero: &'a str,
    /// Who gives and takes.
    friend: &'a str,
    /// Whom the hero is compared with.
    other: &'a str,
    things: &'a str,
    sentences: Vec<String>,
    steps: Vec<Step>,
    /// What the hero has now.
    count: i64,
}

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let n_steps = draw.weighted(&[(3, 1), (4, 2), (3, 3), (2, 4)]);
    let people = draw.some(3, NAMES);
    let mut story = Story {
        hero: people[0],
        friend: people[1],
        other: people[2],
        things: draw.one(THINGS),
        sentences: Vec::new(),
        steps: Vec::new(),
        count: 0,
    };
    story.begin(draw);
    while story.steps.len() + 1 < n_steps {
        story.go_on(draw);
    }
    let question = match story.steps.len() < n_steps {
        true => story.end(draw),
        false => format!("How many {} does {} have?", story.things, story.hero),
    };
    let item = Item {
        task: "story",
        question: format!("{} {question}", story.sentences.join(" ")),
        answer: story.count.to_string(),
        kind: Kind::Number,
    };
    (item, story.steps)
}

impl Story<'_> {
    /// So many, or so many in each of some boxes.
    fn begin(&mut self, draw: &mut Draw) {
        let (hero, things) = (self.hero, self.things);
        if draw.chance(30) {
            let (boxes, each) = (draw.number(2, 9), draw.number(2, 12));
            let place = draw.one(BOXES);
            self.sentences.push(format!(
                "{hero} has {boxes} {place} with {each} {things} in each."
            ));
            self.count = boxes;
            self.step(Operation::Multiply, each, draw);
        } else {
            self.count = draw.number(5, 60);
            self.sentences
                .push(format!("{hero} has {} {things}.", self.count));
        }
    }

    /// Some come or go.
    fn go_on(&mut self, draw: &mut Draw) {
        let (hero, friend) = (self.hero, self.friend);
        let when = match self.sentences.len() {
            ..2 => "Today",
            _ => "Then",
        };
        let can_grow = self.count + 3 <= LIMIT;
        if can_grow && (self.count < 4 || draw.chance(50)) {
            let more = draw.number(2, 50.min(LIMIT - self.count));
            self.sentences.push(match draw.number(0, 2) {
                0 => format!("{when} {hero} buys {more} more."),
                1 => format!("{when} {friend} gives {hero} {more} more."),
                _ => format!("{when} {hero} finds {more} more."),
            });
            self.step(Operation::Add, more, draw);
        } else {
            let fewer = draw.number(1, (self.count - 1).min(60));
            self.sentences.push(match draw.number(0, 2) {
                0 => format!("{when} {hero} gives {fewer} to {friend}."),
                1 => format!("{when} {hero} loses {fewer}."),
                _ => format!("{when} {hero} sells {fewer}."),
            });
            self.step(Operation::Subtract, fewer, draw);
        }
    }

    /// The last step is in the question, or before it.
    fn end(&mut self, draw: &mut Draw) -> String {
        let (hero, other, things) = (self.hero, self.other, self.things);
        match draw.number(0, 3) {
            0 if self.count <= 30 => {
                let times = draw.number(2, (LIMIT / self.count.max(1)).min(6));
                self.sentences
                    .push(format!("{other} has {times} times as many as {hero}."));
                self.step(Operation::Multiply, times, draw);
                format!("How many {things} does {other} have?")
            }
            1 => {
                let count = draw.number(2, 60);
                self.sentences.push(format!("{other} has {count}."));
                self.step(Operation::Add, count, draw);
                format!("How many {things} do {hero} and {other} have together?")
            }
            2 if self.count > 3 => {
                let count = draw.number(1, self.count - 1);
                self.sentences.push(format!("{other} has {count}."));
                self.step(Operation::Subtract, count, draw);
                format!("How many more {things} does {hero} have than {other}?")
            }
            _ => {
                self.go_on(draw);
                format!("How many {things} does {hero} have now?")
            }
        }
    }

    fn step(&mut self, operation: Operation, by: i64, draw: &mut Draw) {
        self.steps.push(sums::step(self.count, operation, by, draw));
        self.count = operation.apply(self.count, by);
    }
}
