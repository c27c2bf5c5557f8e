//! Counting a letter in a word.

use crate::draw::Draw;
use crate::thought::Step;
use crate::{Item, Kind};

const WORDS: &[&str] = &[
    "strawberry",
    "banana",
    "apple",
    "orange",
    "cherry",
    "tomato",
    "potato",
    "carrot",
    "pepper",
    "pumpkin",
    "coconut",
    "avocado",
    "pineapple",
    "blueberry",
    "raspberry",
    "cucumber",
    "cabbage",
    "window",
    "mirror",
    "kitchen",
    "bedroom",
    "garden",
    "summer",
    "winter",
    "spring",
    "autumn",
    "monday",
    "tuesday",
    "thursday",
    "january",
    "february",
    "september",
    "november",
    "december",
    "school",
    "teacher",
    "student",
    "pencil",
    "paper",
    "letter",
    "butter",
    "coffee",
    "bottle",
    "basket",
    "yellow",
    "purple",
    "silver",
    "golden",
    "elephant",
    "giraffe",
    "kangaroo",
    "rabbit",
    "squirrel",
    "chicken",
    "penguin",
    "dolphin",
    "mosquito",
    "butterfly",
    "mississippi",
    "tennessee",
    "committee",
    "accommodation",
    "success",
    "address",
    "balloon",
    "bookkeeper",
    "parallel",
    "possession",
    "necessary",
    "occurrence",
    "millennium",
    "assassin",
    "cookie",
    "pizza",
    "jazz",
    "puzzle",
    "bubble",
    "hello",
    "computer",
    "keyboard",
    "program",
    "engine",
    "model",
    "reason",
    "thinking",
    "answer",
    "question",
    "number",
    "sentence",
    "example",
];

const SYLLABLES: &[&str] = &[
    "ba", "be", "bo", "ca", "co", "da", "de", "do", "fa", "fi", "ga", "go", "ha", "hi", "ja", "ka",
    "ki", "la", "le", "lo", "ma", "me", "mi", "na", "ne", "no", "pa", "pe", "po", "ra", "re", "ro",
    "sa", "se", "so", "ta", "te", "to", "va", "vi", "wa", "ze", "ll", "tt", "ss", "rr", "nn", "an",
    "en", "er", "or", "st",
];

pub(crate) fn make(draw: &mut Draw) -> (Item, Vec<Step>) {
    let word = match draw.number(0, 9) {
        0..4 => draw.one(WORDS).to_owned(),
        4..8 => {
            let n = draw.number(2, 4);
            (0..n).map(|_| draw.one(SYLLABLES)).collect::<String>()
        }
        _ => {
            let n = draw.number(3, 9);
            (0..n).map(|_| any_letter(draw)).collect()
        }
    };
    let letters: Vec<char> = word.chars().collect();
    let letter = match draw.chance(88) {
        true => letters[draw.number(0, letters.len() as i64 - 1) as usize],
        false => any_letter(draw),
    };
    let count = letters.iter().filter(|&&other| other == letter).count();
    let question = match draw.number(0, 5) {
        0 => format!("How many times does the letter {letter} occur in {word}?"),
        1 => format!("How many {letter}'s are in the word {word}?"),
        2 => format!("Count the letter {letter} in \"{word}\"."),
        3 => format!("How many {letter}'s are in {word}?"),
        4 => format!("How often does {letter} occur in the word {word}?"),
        _ => format!("How many times does the letter {letter} appear in {word}?"),
    };
    let spelled: Vec<String> = letters.iter().map(char::to_string).collect();
    let wrong = match count == 0 || draw.chance(50) {
        true => count + 1,
        false => count - 1,
    };
    let backwards = counted(letters.iter().rev(), letter);
    let step = Step {
        work: vec![counted(letters.iter(), letter)],
        result: format!("{}: {count}", spelled.join(" ")),
        check: format!("check: {backwards}: {count}, right"),
        slip: Some((
            format!("{}: {wrong}", spelled.join(" ")),
            format!("check: {backwards}: {count}, not {wrong}, again"),
        )),
    };
    let item = Item {
        task: "letters",
        question,
        answer: count.to_string(),
        kind: Kind::Number,
    };
    (item, vec![step])
}

fn any_letter(draw: &mut Draw) -> char {
    char::from(b'a' + draw.number(0, 25) as u8)
}

/// The letters, with the count behind each that is counted.
fn counted<'a>(letters: impl Iterator<Item = &'a char>, letter: char) -> String {
    let mut count = 0;
    let letters: Vec<String> = letters
        .map(|&other| match other == letter {
            true => {
                count += 1;
                format!("{other}{count}")
            }
            false => other.to_string(),
        })
        .collect();
    letters.join(" ")
}
