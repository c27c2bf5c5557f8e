//! Texts as vectors, of models that are made for it.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;

use ponder_runtime::{
    cache::BLOCK_LEN,
    decoder::{DecoderError, LogitsFor, Model, Step},
    weights::{Checkpoint, gguf::Metadata},
};
use serde::Serialize;
use serde_json::Value;

use crate::{EngineError, info::folder_of};

/// How the states of all tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// That of the first token.
    First,
    /// That of the last token.
    Last,
    /// Their mean.
    Mean,
}

impl Pooling {
    /// What a model's files say: `{architecture}.pooling_type` of a GGUF file, or
    /// `1_Pooling/config.json` of a folder. `None` for a model that is not made for it.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Option<Self> {
        match checkpoint.gguf() {
            Some(metadata) => Self::of_gguf(metadata),
            None => {
                let path = folder_of(checkpoint.path()).join("1_Pooling/config.json");
                Self::of_config(&serde_json::from_slice(&std::fs::read(path).ok()?).ok()?)
            }
        }
    }

    fn of_gguf(metadata: &Metadata) -> Option<Self> {
        let arch = metadata.str("general.architecture").ok()?;
        match metadata.opt_u64(&format!("{arch}.pooling_type")).ok()?? {
            1 => Some(Self::Mean),
            2 => Some(Self::First),
            3 => Some(Self::Last),
            _ => None,
        }
    }

    fn of_config(config: &Value) -> Option<Self> {
        let modes = [
            ("pooling_mode_lasttoken", Self::Last),
            ("pooling_mode_mean_tokens", Self::Mean),
            ("pooling_mode_cls_token", Self::First),
        ];
        let mode = modes.into_iter().find(|(key, _)| config[*key] == true);
        mode.map(|(_, pooling)| pooling)
    }
}

/// Texts whose vectors are wanted.
pub(crate) struct Texts {
    pub(crate) ids: VecDeque<Vec<u32>>,
    pub(crate) pooling: Pooling,
    /// Where the vectors go, one by one.
    pub(crate) to: Sender<Result<Vec<f32>, EngineError>>,
}

impl Texts {
    /// Computes the next text, if there is room for it beside what else is in the cache, and tells
    /// whether there was. `is_alone`: nothing else is, so that there will never be more room. A text that
    /// could not be computed is still the next one.
    pub(crate) fn next(
        &mut self,
        model: &mut dyn Model,
        is_alone: bool,
    ) -> Result<bool, DecoderError> {
        let Some(ids) = self.ids.front() else {
            return Ok(true);
        };
        if !is_alone && model.cache().free_tokens() < ids.len() + BLOCK_LEN {
            return Ok(false);
        }
        let vector = match embed(ids, self.pooling, model) {
            Err(DecoderError::Cache(_)) if !is_alone => return Ok(false),
            vector => vector?,
        };
        self.ids.pop_front();
        // Who asked may have gone; then nobody needs the others either.
        if self.to.send(Ok(vector)).is_err() {
            self.ids.clear();
        }
        Ok(true)
    }

    /// Gives up what is left.
    pub(crate) fn fail(&mut self, error: EngineError) {
        self.ids.clear();
        // Nobody may wait for it any more.
        let _ = self.to.send(Err(error));
    }
}

/// The vector of a text, of length 1.
fn embed(ids: &[u32], pooling: Pooling, model: &mut dyn Model) -> Result<Vec<f32>, DecoderError> {
    let (sequence, n_rows) = (model.start(ids.len())?, model.prefill_rows());
    let mut sum: Vec<f32> = Vec::new();
    let (last, mut done) = (ids.chunks(n_rows).count() - 1, Ok(()));
    for (i, tokens) in ids.chunks(n_rows).enumerate() {
        let logits = match pooling {
            Pooling::Mean => LogitsFor::All,
            Pooling::First if i == 0 => LogitsFor::All,
            Pooling::Last if i == last => LogitsFor::Last,
            Pooling::First | Pooling::Last => LogitsFor::None,
        };
        let step = Step {
            sequence,
            tokens,
            logits,
        };
        match model.hidden(&[step]) {
            Ok([]) => {}
            Ok(rows) => add(&mut sum, rows, tokens.len(), logits, pooling),
            Err(error) => {
                done = Err(error);
                break;
            }
        }
    }
    let freed = model.free(sequence);
    done.and(freed)?;
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        sum.iter_mut().for_each(|value| *value /= norm);
    }
    Ok(sum)
}

/// Adds the states that count. The length does not matter, so a sum is as good as a mean.
fn add(sum: &mut Vec<f32>, rows: &[f32], n_tokens: usize, logits: LogitsFor, pooling: Pooling) {
    let n_rows = if logits == LogitsFor::All {
        n_tokens
    } else {
        1
    };
    let width = rows.len() / n_rows;
    sum.resize(width, 0.0);
    let n_counted = if pooling == Pooling::First { 1 } else { n_rows };
    for row in rows.chunks_exact(width).take(n_counted) {
        sum.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sentence_transformers_say_how_they_pool() {
        let last = json!({"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true});
        assert_eq!(Pooling::of_config(&last), Some(Pooling::Last));
        let mean = json!({"pooling_mode_mean_tokens": true});
        assert_eq!(Pooling::of_config(&mean), Some(Pooling::Mean));
        assert_eq!(Pooling::of_config(&json!({})), None);
    }
}
