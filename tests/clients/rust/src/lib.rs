//! What the tests of this folder have in common.

#![forbid(unsafe_code)]

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiErrorResponse, OpenAIError};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A question that the model in the program answers.
pub const SUM: &str = "What is 12 + 5?";

/// Its answer.
pub const ANSWER: &str = "The answer is 17.";

/// The model that is served beside the one in the program: the same, told how to call tools.
pub const CALLER: &str = "caller";

/// A client of the server at the address in the variable `url`.
///
/// # Panics
/// Where `cargo xtask clients` has not set it.
#[must_use]
pub fn client_at(url: &str, key: &str) -> Client<OpenAIConfig> {
    let config = OpenAIConfig::new()
        .with_api_base(variable(url))
        .with_api_key(key);
    Client::with_config(config)
}

/// A client of the server that anybody may ask.
#[must_use]
pub fn client() -> Client<OpenAIConfig> {
    client_at("PONDER_URL", "unused")
}

/// A variable that `cargo xtask clients` sets.
///
/// # Panics
/// Where it has not.
#[must_use]
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by `cargo xtask clients`"))
}

/// A value of one of the client's types.
///
/// # Panics
/// Where `json` is none.
#[must_use]
pub fn typed<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("a value of the client's type")
}

/// What a server said that refused something.
///
/// # Panics
/// Where it did not, or not in OpenAI's words.
#[must_use]
pub fn refusal<T>(result: Result<T, OpenAIError>) -> ApiErrorResponse {
    match result {
        Err(OpenAIError::ApiError(error)) => error,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("not refused"),
    }
}
