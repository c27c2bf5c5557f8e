//! `POST /embeddings`: texts as vectors, of models that are made for it.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ponder_engine::EngineError;
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::completions::{check_ids, prompts};
use crate::http::{ApiError, Fields, JsonBody};

/// Texts of a request.
const MAX_INPUTS: usize = 2048;

/// How the numbers of a vector are written.
#[derive(Clone, Copy, Debug, Default)]
enum Encoding {
    #[default]
    Float,
    /// Four bytes each, the lowest first.
    Base64,
}

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new().route("/embeddings", post(embed))
}

async fn embed(
    State(app): State<SharedApp>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let mut body = Fields::new(body, "")?;
    let model = body.string("model")?;
    let input = prompts(&mut body, "input")?;
    if input.len() > MAX_INPUTS {
        let message = format!("'input' may hold {MAX_INPUTS} texts at most.");
        return Err(ApiError::invalid("input", message));
    }
    let encodings = [("float", Encoding::Float), ("base64", Encoding::Base64)];
    let encoding = body.one_of("encoding_format", &encodings)?;
    let dimensions = body.count("dimensions", 1..=usize::MAX)?;
    body.string("user")?;
    body.finish()?;
    let lease = app.models.get(model.as_deref()).await?;
    let info = lease.engine.model();
    check_ids(&input, info.vocab_size, "input")?;
    if dimensions.is_some_and(|wanted| wanted > info.hidden_size) {
        let message = format!("The model's vectors have {} dimensions.", info.hidden_size);
        return Err(ApiError::invalid("dimensions", message));
    }
    let engine = Arc::clone(&lease.engine);
    let vectors = tokio::task::spawn_blocking(move || engine.embed(&input));
    let vectors = vectors.await.map_err(|_| ApiError::bug())?;
    let vectors = vectors.map_err(|error| refused(error, lease.id()))?;
    let n_tokens: usize = vectors.iter().map(|(_, n)| n).sum();
    let all = vectors.into_iter().enumerate();
    let data: Vec<Value> = all
        .map(|(index, (vector, _))| {
            let vector = shortened(vector, dimensions);
            let vector = written(&vector, encoding.unwrap_or_default());
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "model": lease.id(),
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    })))
}

fn refused(error: EngineError, model: &str) -> ApiError {
    match error {
        EngineError::NoEmbeddings(_) => ApiError::invalid(
            "model",
            format!("The model `{model}` does not make embeddings: it is made to write text."),
        )
        .with_code("model_not_supported"),
        other => ApiError::from(other).at("input"),
    }
}

/// The first dimensions of a vector, as a vector of length 1. Models whose vectors are meant to be
/// shortened put what matters most there.
fn shortened(mut vector: Vec<f32>, dimensions: Option<usize>) -> Vec<f32> {
    let Some(n) = dimensions.filter(|&n| n < vector.len()) else {
        return vector;
    };
    vector.truncate(n);
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

fn written(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_vector_has_length_one_again() {
        let vector = shortened(vec![0.6, 0.0, 0.8], Some(2));
        assert_eq!(vector, [1.0, 0.0]);
        assert_eq!(shortened(vec![0.0, 1.0], Some(1)), [0.0]);
        assert_eq!(shortened(vec![0.6, 0.8], None), [0.6, 0.8]);
    }

    #[test]
    fn bytes_are_written_lowest_first() {
        assert_eq!(written(&[1.0], Encoding::Base64), json!("AACAPw=="));
        assert_eq!(written(&[0.5], Encoding::Float), json!([0.5]));
    }
}
