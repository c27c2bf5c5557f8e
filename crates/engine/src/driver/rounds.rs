//! Tokens of a step whose logits stay on a device, which draws from them.
//!
//! In each round everybody whose text goes on asks for a token of its next row; all of them are drawn at
//! once. Rows of drafts come in later rounds: how a token is drawn depends on those before it. Who needs
//! logits gets them.

use ponder_runtime::backend::{BackendError, DrawnToken, KeptLogits};

use super::{
    Asked, Consumer, Drawn, Taken,
    branch::{self, Branch},
};
use crate::{EngineError, schedule::Entry};

/// What rounds work on, kept for its memory.
#[derive(Default)]
pub(super) struct Rounds {
    texts: Vec<Text>,
    /// What everybody asked for, in the order of the texts, of siblings first.
    asked: Vec<Result<Asked, EngineError>>,
    tokens: Vec<Option<DrawnToken>>,
    /// Rows that are wanted as they are, in rising order.
    wanted: Vec<usize>,
    read: ReadRows,
}

/// A sequence that goes on.
#[derive(Debug)]
struct Text {
    index: usize,
    row: usize,
    /// Rows from there on.
    n_rows: usize,
    n_drafts: usize,
    n_right: usize,
}

/// Rows that were read.
#[derive(Debug, Default)]
struct ReadRows {
    first: usize,
    n_rows: usize,
    values: Vec<f32>,
}

impl Rounds {
    /// The sequence at a place of the list of those that run has rows from `row` on.
    pub(super) fn push(&mut self, index: usize, row: usize, n_rows: usize, n_drafts: usize) {
        self.texts.push(Text {
            index,
            row,
            n_rows,
            n_drafts,
            n_right: 0,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// A round; what goes on after it stays. `copy` is memory for a row. An error of the device is one of
    /// each answer, but where the device is lost: then nothing was drawn.
    pub(super) fn draw<C: Consumer>(
        &mut self,
        running: &mut [Entry<Branch<C>>],
        logits: &dyn KeptLogits,
        copy: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        self.ask(running, logits);
        self.tokens.clear();
        let drawn = logits.draw(&mut self.tokens);
        if let Err(BackendError::Lost(_)) = drawn {
            self.texts.clear();
            return drawn;
        }
        let mut failure = drawn.err().map(Failure::new);
        let mut tokens = self.tokens.drain(..);
        let mut asked = self.asked.drain(..);
        let read = &mut self.read;
        (read.first, read.n_rows) = (0, 0);
        self.texts.retain_mut(|text| {
            let entry = &mut running[text.index];
            let mut of = |consumer: &mut C, mut copy: Option<&mut Vec<f32>>| {
                let asked = asked.next().expect("everybody has asked")?;
                if let Some(failure) = &mut failure {
                    return Err(failure.next());
                }
                let token = match asked {
                    Asked::Pushed => tokens.next().expect("a token for each draw"),
                    _ => None,
                };
                let taken = match asked {
                    Asked::Known(token) => Some(Taken::Known(token)),
                    _ => token.as_ref().map(Taken::Drawn),
                };
                let drawn = taken.map(|taken| consumer.take(taken)).transpose()?;
                if let Some(drawn) = drawn.flatten() {
                    return Ok(drawn);
                }
                let row = read.row(text.row, &self.wanted, logits);
                let row = row.map_err(|error| failure.insert(Failure::new(error)).next())?;
                match copy.take() {
                    Some(copy) => {
                        copy.clear();
                        copy.extend_from_slice(row);
                        consumer.draw(copy)
                    }
                    None => consumer.draw(row),
                }
            };
            let branch = &mut entry.payload;
            for sibling in &mut branch.siblings {
                branch.drawn.push(of(sibling, Some(&mut *copy)));
            }
            let drawn: Result<Drawn, EngineError> = of(&mut branch.consumer, None);
            text.row += 1;
            text.n_rows -= 1;
            branch::accept(entry, drawn, text.n_drafts, &mut text.n_right) && text.n_rows > 0
        });
        Ok(())
    }

    fn ask<C: Consumer>(&mut self, running: &mut [Entry<Branch<C>>], logits: &dyn KeptLogits) {
        self.asked.clear();
        self.wanted.clear();
        for text in &self.texts {
            let branch = &mut running[text.index].payload;
            let all = branch.siblings.iter_mut();
            for consumer in all.chain([&mut branch.consumer]) {
                let asked = consumer.ask(text.row, logits);
                if matches!(asked, Ok(Asked::Logits)) && self.wanted.last() != Some(&text.row) {
                    self.wanted.push(text.row);
                }
                self.asked.push(asked);
            }
        }
    }
}

impl ReadRows {
    /// A row of logits. Where rows behind it are wanted too, they are read with it.
    fn row(
        &mut self,
        row: usize,
        wanted: &[usize],
        logits: &dyn KeptLogits,
    ) -> Result<&mut [f32], BackendError> {
        if !(self.first..self.first + self.n_rows).contains(&row) {
            let from = wanted.partition_point(|&other| other <= row);
            let behind = wanted[from..].iter().zip(row + 1..);
            let n_rows = 1 + behind.take_while(|&(&other, next)| other == next).count();
            self.values.clear();
            self.n_rows = 0;
            logits.read(row, n_rows, &mut self.values)?;
            (self.first, self.n_rows) = (row, n_rows);
        }
        let len = self.values.len() / self.n_rows;
        let start = (row - self.first) * len;
        Ok(&mut self.values[start..start + len])
    }
}

/// What the device has failed with: one answer gets it as it is, the others get its words.
struct Failure {
    error: Option<BackendError>,
    message: String,
}

impl Failure {
    fn new(error: BackendError) -> Self {
        Self {
            message: error.to_string(),
            error: Some(error),
        }
    }

    fn next(&mut self) -> EngineError {
        match self.error.take() {
            Some(error) => EngineError::Decoder(error.into()),
            None => EngineError::Step(self.message.clone()),
        }
    }
}
