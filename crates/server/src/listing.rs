//! `GET /models`: what is served.

use axum::extract::State;
use axum::{Json, Router, routing::get};
use ponder_engine::{Effort, EffortOverrides, ModelInfo};
use serde_json::{Value, json};

use crate::app::SharedApp;
use crate::http::{ApiError, PathText};

pub(crate) fn routes() -> Router<SharedApp> {
    Router::new()
        .route("/models", get(list))
        .route("/models/{*id}", get(one))
}

async fn list(State(app): State<SharedApp>) -> Json<Value> {
    Json(json!({"object": "list", "data": all(&app)}))
}

async fn one(
    State(app): State<SharedApp>,
    PathText(id): PathText,
) -> Result<Json<Value>, ApiError> {
    let id = app.models.id_of(&id)?;
    let found = all(&app).into_iter().find(|model| model["id"] == id);
    found.map(Json).ok_or_else(|| {
        // A model that is served is in the list.
        ApiError::internal("The model is not listed.")
    })
}

/// Each model in OpenAI's words, with ours about those that are loaded.
fn all(app: &SharedApp) -> Vec<Value> {
    let models = app.models.all().map(|(names, loaded)| {
        let mut model = json!({
            "id": names.id,
            "object": "model",
            "created": loaded.as_ref().map_or(0, |(_, since)| *since),
            "owned_by": "local",
            "loaded": loaded.is_some(),
        });
        if let Some((engine, _)) = loaded {
            let info = engine.model();
            model["context_length"] = json!(info.context);
            model["family"] = json!(info.family);
            model["parameters"] = json!(info.parameters);
            model["quantization"] = json!(info.quantization);
            model["device"] = json!(engine.runs_on());
            model["reasoning"] = json!(info.thinks);
            model["effort_levels"] = effort_levels(info);
        }
        model
    });
    models.collect()
}

/// What each level means on a model, as far as it can be said in a number: tokens of thought, or null
/// where there is no limit but the answer's share.
fn effort_levels(info: &ModelInfo) -> Value {
    let levels = Effort::ALL.map(|level| {
        let limits = info.effort(Some(level), EffortOverrides::default());
        let limit = json!({"think_tokens": limits.think_tokens});
        (level.name().to_owned(), limit)
    });
    Value::Object(levels.into_iter().collect())
}
