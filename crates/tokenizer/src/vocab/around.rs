//! The `post_processor` of `tokenizer.json`, read as the ids that go around a text.

use serde_json::Value;

use super::pieces::Pieces;
use crate::TokenizerError;

/// Ids before and after a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) prefix: Vec<u32>,
    pub(super) suffix: Vec<u32>,
}

impl Around {
    /// # Errors
    /// For processors that are not known, and for ids that the vocabulary does not hold.
    pub(super) fn from_post_processor(
        processor: &Value,
        pieces: &Pieces,
    ) -> Result<Self, TokenizerError> {
        let mut around = Self::default();
        around.apply(processor)?;
        match around
            .prefix
            .iter()
            .chain(&around.suffix)
            .find(|&&id| pieces.kind(id).is_none())
        {
            None => Ok(around),
            Some(id) => Err(TokenizerError::vocabulary(format!(
                "the post-processor adds the unknown token {id}"
            ))),
        }
    }

    fn apply(&mut self, processor: &Value) -> Result<(), TokenizerError> {
        match processor.get("type").and_then(Value::as_str) {
            None if processor.is_null() => Ok(()),
            // It trims offsets, which nobody reads here.
            Some("ByteLevel") => Ok(()),
            Some("Sequence") => {
                let processors = processor.get("processors").and_then(Value::as_array);
                processors
                    .into_iter()
                    .flatten()
                    .try_for_each(|processor| self.apply(processor))
            }
            Some("TemplateProcessing") => self
                .apply_template(processor)
                .ok_or_else(|| unsupported(processor)),
            _ => Err(unsupported(processor)),
        }
    }

    /// `single` is a list of special tokens around one sequence `A`.
    fn apply_template(&mut self, processor: &Value) -> Option<()> {
        let special = processor.get("special_tokens")?;
        let (mut before, mut after, mut n_sequences) = (Vec::new(), Vec::new(), 0);
        for item in processor.get("single")?.as_array()? {
            if item.get("Sequence").is_some() {
                n_sequences += 1;
                continue;
            }
            let name = item.get("SpecialToken")?.get("id")?.as_str()?;
            let ids = special.get(name)?.get("ids")?.as_array()?;
            let side = if n_sequences == 0 {
                &mut before
            } else {
                &mut after
            };
            for id in ids {
                side.push(u32::try_from(id.as_u64()?).ok()?);
            }
        }
        before.append(&mut self.prefix);
        self.prefix = before;
        self.suffix.append(&mut after);
        (n_sequences == 1).then_some(())
    }
}

fn unsupported(processor: &Value) -> TokenizerError {
    TokenizerError::Unsupported {
        what: "post-processor in tokenizer.json",
        value: processor.get("type").unwrap_or(processor).to_string(),
        hint: "ByteLevel and TemplateProcessing with one sequence are supported",
    }
}
