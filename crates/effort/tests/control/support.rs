//! A vocabulary of bytes, pieces and markers; a text that splits itself; models by preference.

use std::sync::Arc;
use std::time::Duration;

use ponder_effort::control::{
    AnswerEnd, Classes, Controller, Limits, Marker, Phase, Place, Scripts, Tables, ThinkingEnd,
};
use ponder_effort::{Decision, Steer};

pub(crate) const OPEN: &str = "<think>";
pub(crate) const CLOSE: &str = "</think>";
pub(crate) const HAND_OVER: &str = "\nEnough.\n";
pub(crate) const CUE: &str = "Wait,";

/// How the markers are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Each is a token.
    Whole,
    /// They are made of pieces, in many ways.
    Pieces,
}

pub(crate) struct Vocabulary {
    pub(crate) tokens: Vec<Vec<u8>>,
    pub(crate) stop: u32,
    pub(crate) tables: Arc<Tables>,
}

impl Vocabulary {
    pub(crate) fn new(spelling: Spelling) -> Self {
        let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        let mut add = |bytes: &[u8]| {
            tokens.push(bytes.to_vec());
            tokens.len() as u32 - 1
        };
        let stop = add(b"");
        for piece in [
            "</", "think", "ink>", ">\n\n", ".\n\n", " the", "<th", "<tool>", "</tool>", "x.",
        ] {
            add(piece.as_bytes());
        }
        // The edges of a character inside of tokens.
        for piece in [
            &[b'a', 0xf0][..],
            &[0x9f, 0x98],
            &[0x80, b'!'],
            &[0xa9, 0xf0, 0x9f],
            &[0xe2, 0x82],
        ] {
            add(piece);
        }
        if spelling == Spelling::Whole {
            add(OPEN.as_bytes());
            add(CLOSE.as_bytes());
        }
        let encode = |text: &str| encode(&tokens, text);
        let known = || (0..).zip(tokens.iter().map(Vec::as_slice));
        let open = Marker::new(OPEN, OPEN.len(), &[], encode, known());
        let close = Marker::new(CLOSE, CLOSE.len(), &[], encode, known());
        let scripts = Scripts {
            hand_over: encode(HAND_OVER),
            after_close: encode("\n\n"),
            cue: encode(CUE),
        };
        let classes = Classes::new(tokens.iter());
        let tables = Arc::new(Tables::new(classes, vec![stop], open, close, scripts));
        Self {
            tokens,
            stop,
            tables,
        }
    }

    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        encode(&self.tokens, text)
    }

    pub(crate) fn start(&self, in_thought: bool) -> Place {
        Place {
            in_thought,
            ..Place::default()
        }
    }
}

/// The longest piece first.
fn encode(tokens: &[Vec<u8>], text: &str) -> Vec<u32> {
    let (mut rest, mut ids) = (text.as_bytes(), Vec::new());
    while !rest.is_empty() {
        let fitting =
            (0..tokens.len()).filter(|&id| !tokens[id].is_empty() && rest.starts_with(&tokens[id]));
        let best = fitting
            .max_by_key(|&id| tokens[id].len())
            .expect("bytes fit");
        ids.push(best as u32);
        rest = &rest[tokens[best].len()..];
    }
    ids
}

/// A text as it is written, split by the rules of a chat format.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    in_thought: bool,
    /// Nothing but white space since the turn, a thought or a call began.
    fresh: bool,
    answered: bool,
    /// Where what is not decided begins.
    decided: usize,
    /// Where tokens begin that are not decided.
    starts: Vec<usize>,
    thought_tokens: usize,
    pub(crate) n_opened: usize,
    pub(crate) n_closed: usize,
}

impl Text {
    pub(crate) fn new(in_thought: bool) -> Self {
        Self {
            bytes: Vec::new(),
            in_thought,
            fresh: true,
            answered: false,
            decided: 0,
            starts: Vec::new(),
            thought_tokens: 0,
            n_opened: usize::from(in_thought),
            n_closed: 0,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        while self.step() {}
    }

    fn marker(&self) -> &'static [u8] {
        match (self.in_thought, self.fresh) {
            (true, _) => CLOSE.as_bytes(),
            (false, true) => OPEN.as_bytes(),
            (false, false) => b"",
        }
    }

    fn step(&mut self) -> bool {
        let marker = self.marker();
        let rest = &self.bytes[self.decided..];
        let at = match marker.len() {
            0 => None,
            len => rest.windows(len).position(|window| window == marker),
        };
        match at {
            Some(at) if self.in_thought => {
                self.decide(self.decided + at + marker.len(), true);
                (self.in_thought, self.fresh) = (false, true);
                self.n_closed += 1;
                true
            }
            Some(at) if rest[..at].iter().all(u8::is_ascii_whitespace) => {
                self.decide(self.decided + at, false);
                self.decide(self.decided + marker.len(), true);
                self.in_thought = true;
                self.n_opened += 1;
                true
            }
            _ => {
                let end = self.bytes.len() - self.marker_bytes();
                self.decide(end, self.in_thought);
                false
            }
        }
    }

    fn decide(&mut self, end: usize, as_thought: bool) {
        let decided = &self.bytes[self.decided..end];
        if !as_thought && !decided.iter().all(u8::is_ascii_whitespace) {
            self.answered = true;
            // Behind a call there may be another thought.
            self.fresh = decided.ends_with(b"</tool>");
        }
        self.decided = end;
        let n = self.starts.iter().take_while(|&&start| start < end).count();
        self.starts.drain(..n);
        self.thought_tokens += if as_thought { n } else { 0 };
    }

    /// The longest end of the text that the marker begins with.
    fn marker_bytes(&self) -> usize {
        let (marker, rest) = (self.marker(), &self.bytes[self.decided..]);
        (1..marker.len())
            .rev()
            .find(|&n| rest.ends_with(&marker[..n]))
            .unwrap_or(0)
    }

    pub(crate) fn place(&self) -> Place {
        let pending = self.starts.len();
        Place {
            in_thought: self.in_thought,
            thought_tokens: self.thought_tokens + if self.in_thought { pending } else { 0 },
            marker_bytes: self.marker_bytes(),
            marker_tokens: if self.in_thought { 0 } else { pending },
            answered: self.answered,
        }
    }

    /// Whether the text ends inside a character.
    pub(crate) fn is_amid_character(&self) -> bool {
        std::str::from_utf8(
            self.bytes
                .utf8_chunks()
                .last()
                .map_or(&[], |last| last.invalid()),
        )
        .is_err_and(|error| error.error_len().is_none())
    }
}

/// What a model would say, best first.
pub(crate) trait Model {
    fn wishes(&mut self, text: &Text) -> Vec<u32>;
}

impl<F: FnMut(&Text) -> Vec<u32>> Model for F {
    fn wishes(&mut self, text: &Text) -> Vec<u32> {
        self(text)
    }
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) text: Text,
    pub(crate) tokens: Vec<u32>,
    pub(crate) is_stopped: bool,
    pub(crate) end: Option<AnswerEnd>,
    pub(crate) ended_by: Option<ThinkingEnd>,
    pub(crate) phases: Vec<Phase>,
    /// How many tokens were forced, and at which lengths of the text.
    pub(crate) forced: Vec<usize>,
}

impl Outcome {
    pub(crate) fn content(&self) -> String {
        let text = String::from_utf8_lossy(&self.text.bytes).into_owned();
        text.rsplit(CLOSE)
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    }
}

/// One answer to the end, with what `between` does before each token.
pub(crate) fn run_with(
    vocabulary: &Vocabulary,
    model: &mut dyn Model,
    limits: Limits,
    in_thought: bool,
    mut between: impl FnMut(&mut Controller, usize),
    mut now: impl FnMut(usize) -> Duration,
) -> Outcome {
    let start = vocabulary.start(in_thought);
    let mut controller = Controller::new(Arc::clone(&vocabulary.tables), limits, start);
    let mut outcome = Outcome {
        text: Text::new(in_thought),
        tokens: Vec::new(),
        is_stopped: false,
        end: None,
        ended_by: None,
        phases: Vec::new(),
        forced: Vec::new(),
    };
    let mut was_instead = false;
    while outcome.tokens.len() < limits.max_tokens {
        between(&mut controller, outcome.tokens.len());
        // A copy decides the same, as a fork or a draft would see it.
        let mut twin = controller.clone();
        let time = now(outcome.tokens.len());
        let decision = controller.decide(time);
        assert_eq!(twin.decide(time), decision);
        let wishes = match decision {
            Decision::Force(_) => Vec::new(),
            _ => model.wishes(&outcome.text),
        };
        let (token, is_instead) = choose(decision, &wishes);
        if matches!(decision, Decision::Force(_)) {
            assert!(!outcome.text.is_amid_character(), "{outcome:?}");
            // A script begins inside a thought, or with a token that was taken instead of another.
            let goes_on = outcome
                .forced
                .last()
                .is_some_and(|at| at + 1 == outcome.tokens.len());
            let in_thought = outcome.text.place().in_thought;
            assert!(goes_on || in_thought || was_instead, "{outcome:?}");
            outcome.forced.push(outcome.tokens.len());
        }
        was_instead = is_instead;
        outcome.tokens.push(token);
        let was_thinking = outcome.text.place().in_thought;
        if token == vocabulary.stop {
            assert!(!was_thinking, "the turn ends inside a thought: {outcome:?}");
            outcome.is_stopped = true;
            break;
        }
        outcome.text.push(&vocabulary.tokens[token as usize]);
        controller.accept(token, is_instead, outcome.text.place());
        outcome.phases.push(controller.phase());
        outcome.end = controller.end();
        if outcome.end.is_some() {
            break;
        }
    }
    outcome.ended_by = controller.ended_by();
    outcome
}

pub(crate) fn run(
    vocabulary: &Vocabulary,
    model: &mut dyn Model,
    limits: Limits,
    in_thought: bool,
) -> Outcome {
    run_with(
        vocabulary,
        model,
        limits,
        in_thought,
        |_, _| {},
        |_| Duration::ZERO,
    )
}

/// The best of the wishes that the decision lets through.
fn choose(decision: Decision<'_>, wishes: &[u32]) -> (u32, bool) {
    let steer = match decision {
        Decision::Force(token) => return (token, false),
        Decision::Steer(steer) => steer,
        _ => Steer::default(),
    };
    let is_allowed = |token: u32| {
        let only = steer.only;
        let in_mask = only.is_none_or(|mask| mask[token as usize / 32] >> (token % 32) & 1 == 1);
        in_mask && !steer.ban.iter().any(|ban| ban.contains(&token))
    };
    let best = match steer.raise {
        Some((token, share)) if share >= 1.0 => Some(token),
        _ => None,
    };
    let mut all = best.into_iter().chain(wishes.iter().copied()).chain(0..256);
    let token = all
        .find(|&token| is_allowed(token))
        .expect("a token that may come");
    match steer.instead {
        Some((these, other)) if these.contains(&token) => (other, true),
        _ => (token, false),
    }
}
