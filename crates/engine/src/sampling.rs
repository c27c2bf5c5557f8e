//! Sampling defaults that come with a model.

use std::path::Path;

use ponder_effort::{EffortError, SamplingOverrides, SamplingParams};
use ponder_runtime::weights::{Checkpoint, gguf::Metadata};
use serde_json::Value;

use crate::{EngineError, info::folder_of};

/// What a model is sampled with where a request says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct SamplingDefaults {
    params: SamplingParams,
    /// The model's files say something.
    is_own: bool,
}

impl SamplingDefaults {
    /// The parameters of a request: what it asks for, over what the family recommends for the mode,
    /// over the model's own defaults. `wins`: the model's own are for another mode.
    pub(crate) fn merge(
        &self,
        family: &SamplingOverrides,
        wins: bool,
        asked: &SamplingOverrides,
    ) -> Result<SamplingParams, EffortError> {
        let params = match self.is_own && !wins {
            true => self.params.clone(),
            false => SamplingParams::merge(&self.params, family)?,
        };
        SamplingParams::merge(&params, asked)
    }
}

/// What a model whose files say nothing is sampled with: enough freedom not to loop, too little to
/// leave the subject.
fn fallback() -> SamplingParams {
    SamplingParams {
        temperature: 0.7,
        top_p: 0.95,
        min_p: 0.05,
        ..SamplingParams::default()
    }
}

/// The defaults of a model: its `generation_config.json` or its GGUF metadata.
pub(crate) fn defaults(checkpoint: &Checkpoint) -> Result<SamplingDefaults, EngineError> {
    let own = match checkpoint.gguf() {
        Some(metadata) => from_gguf(metadata)?,
        None => {
            from_generation_config(&folder_of(checkpoint.path()).join("generation_config.json"))?
        }
    };
    let merged = own.map(|own| SamplingParams::merge(&SamplingParams::default(), &own));
    // Files in the wild hold values out of range; a default must never refuse a request.
    let usable = merged.and_then(|merged| {
        merged
            .inspect_err(
                |error| tracing::warn!(%error, "the model's own sampling defaults are not usable"),
            )
            .ok()
    });
    Ok(SamplingDefaults {
        is_own: usable.is_some(),
        params: usable.unwrap_or_else(fallback),
    })
}

fn from_gguf(metadata: &Metadata) -> Result<Option<SamplingOverrides>, EngineError> {
    let number = |key: &str| {
        metadata
            .opt_f64(&format!("general.sampling.{key}"))
            .map(|value| value.map(|value| value as f32))
    };
    let own = SamplingOverrides {
        temperature: number("temp")?,
        top_k: number("top_k")?.map(|k| k.max(0.0) as usize),
        top_p: number("top_p")?,
        min_p: number("min_p")?,
        repetition_penalty: number("penalty_repeat")?,
        ..SamplingOverrides::default()
    };
    Ok((own != SamplingOverrides::default()).then_some(own))
}

fn from_generation_config(path: &Path) -> Result<Option<SamplingOverrides>, EngineError> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| EngineError::File {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let number = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_f64)
            .map(|value| value as f32)
    };
    if config.get("do_sample").and_then(Value::as_bool) == Some(false) {
        return Ok(Some(SamplingOverrides {
            temperature: Some(0.0),
            ..SamplingOverrides::default()
        }));
    }
    let own = SamplingOverrides {
        temperature: number("temperature"),
        top_k: config
            .get("top_k")
            .and_then(Value::as_u64)
            .map(|k| k as usize),
        top_p: number("top_p"),
        min_p: number("min_p"),
        repetition_penalty: number("repetition_penalty"),
        ..SamplingOverrides::default()
    };
    Ok((own != SamplingOverrides::default()).then_some(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<SamplingOverrides>, EngineError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("generation_config.json");
        std::fs::write(&path, text).expect("a file");
        from_generation_config(&path)
    }

    #[test]
    fn a_generation_config_is_read_field_by_field() {
        let own = read(r#"{"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": 1}"#)
            .unwrap()
            .unwrap();
        assert_eq!(
            (own.temperature, own.top_k, own.top_p, own.min_p),
            (Some(0.6), Some(20), Some(0.95), None)
        );
        assert_eq!(
            read(r#"{"do_sample": false, "temperature": 0.6}"#)
                .unwrap()
                .unwrap()
                .temperature,
            Some(0.0)
        );
        assert_eq!(read(r#"{"eos_token_id": 1}"#).unwrap(), None);
        assert!(
            read("{")
                .unwrap_err()
                .to_string()
                .contains("generation_config.json")
        );
    }
}
