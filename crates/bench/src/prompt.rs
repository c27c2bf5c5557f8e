//! Prompts of a certain length that have no beginning in common.
//!
//! Words are drawn from a short list of frequent ones, so that most are a token each; what is missing
//! then is made up with shorter pieces.

use ponder_figures::Random;

/// Frequent words, which nearly every vocabulary has as one token.
const WORDS: [&str; 64] = [
    "time",
    "people",
    "way",
    "water",
    "day",
    "man",
    "thing",
    "world",
    "life",
    "hand",
    "part",
    "child",
    "eye",
    "place",
    "work",
    "week",
    "case",
    "point",
    "government",
    "company",
    "number",
    "group",
    "problem",
    "fact",
    "house",
    "room",
    "area",
    "money",
    "story",
    "month",
    "book",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "team",
    "minute",
    "idea",
    "body",
    "back",
    "parent",
    "face",
    "level",
    "office",
    "door",
    "health",
    "person",
];

/// Pieces that are tried where a word is too long.
const FILLERS: [&str; 6] = [" a", " I", ".", ",", "a", "s"];

/// Words from which the length of a word is known well enough.
const FEW: usize = 8;

/// Tries before what was found is taken as it is.
const TRIES: usize = 40;

/// A text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// What was asked before, and is in the cache; empty without depth.
    pub(crate) prefix: String,
    /// All of it.
    pub(crate) text: String,
}

/// `n` words, each with a space before it.
pub(crate) fn words(random: &mut Random, n: usize) -> Vec<&'static str> {
    (0..n).map(|_| WORDS[random.below(WORDS.len())]).collect()
}

pub(crate) fn join(start: &str, words: &[&str]) -> String {
    let mut text = start.to_owned();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Adds words to `start` until `measure` says `target`, or as much as can be had below that. `None`
/// where a single word is more.
pub(crate) fn fit<E>(
    start: &str,
    target: usize,
    random: &mut Random,
    mut measure: impl FnMut(&str) -> Result<usize, E>,
) -> Result<Option<String>, E> {
    let mut list = words(random, 1);
    let least = measure(&join(start, &list))?;
    if least > target {
        return Ok(None);
    }
    // A few more say how many tokens a word has.
    list.extend(words(random, FEW.min(target - least)));
    let mut best = (least, join(start, &list[..1]));
    for _ in 0..TRIES {
        let text = join(start, &list);
        let found = measure(&text)?;
        if found <= target && found >= best.0 {
            best = (found, text);
        }
        let per_word = (found - least.min(found)) as f64 / (list.len() - 1).max(1) as f64;
        let per_word = per_word.max(0.5);
        match found {
            found if found == target => return Ok(Some(best.1)),
            found if found > target => {
                let n = ((found - target) as f64 / per_word).ceil() as usize;
                list.truncate(list.len().saturating_sub(n).max(1));
            }
            found if target - found < 4 && found == best.0 => break,
            found => {
                let n = (target - found) as f64 / per_word;
                list.extend(words(random, (n as usize).max(1)));
            }
        }
    }
    for _ in 0..TRIES {
        if best.0 == target {
            break;
        }
        let mut longer = None;
        for filler in FILLERS {
            let text = format!("{}{filler}", best.1);
            let found = measure(&text)?;
            if found > best.0 && found <= target {
                longer = Some((found, text));
                break;
            }
        }
        match longer {
            Some(longer) => best = longer,
            None => break,
        }
    }
    Ok(Some(best.1))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn fitted(start: &str, target: usize, measure: impl Fn(&str) -> usize) -> Option<usize> {
        let mut random = Random::new(target as u64);
        let text = fit(start, target, &mut random, |text| {
            Ok::<_, Infallible>(measure(text))
        });
        text.expect("measured").map(|text| measure(&text))
    }

    #[test]
    fn lengths_are_exact_by_words_and_by_bytes() {
        let by_words = |text: &str| 20 + text.split_whitespace().count();
        let by_bytes = |text: &str| 31 + text.len();
        // Longer words are two tokens.
        let uneven = |text: &str| {
            9 + text
                .split(' ')
                .map(|word| 1 + word.len() / 6)
                .sum::<usize>()
        };
        for target in [60, 64, 65, 128, 513, 2048] {
            assert_eq!(fitted("", target, by_words), Some(target));
            assert_eq!(fitted("", target, by_bytes), Some(target));
            assert_eq!(fitted("", target, uneven), Some(target));
            assert_eq!(fitted("what came before", target, by_bytes), Some(target));
        }
        assert_eq!(fitted("", 20, by_words), None, "the template alone");
    }

    #[test]
    fn texts_differ_from_their_first_words_on() {
        let first = |seed| words(&mut Random::new(seed), 3);
        let all: std::collections::HashSet<_> = (0..200).map(first).collect();
        assert!(all.len() > 195, "{}", all.len());
    }
}
