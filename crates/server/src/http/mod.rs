//! What all endpoints share.
//!
//! 1. [`ApiError`]: every refusal, in OpenAI's shape.
//! 2. [`JsonBody`]: a body that is JSON, within the limits.
//! 3. [`Fields`]: reads an object field by field; what nobody has read is refused by name.
//! 4. [`sse`]: answers that are sent as they come.
//! 5. [`auth`]: who may ask, and who asks; [`visits`]: what is noted of everyone.

pub(crate) mod auth;
mod body;
pub(crate) mod client;
mod error;
mod fields;
mod path;
pub(crate) mod sse;
pub(crate) mod visits;

pub(crate) use auth::Caller;
pub(crate) use body::{JsonBody, Room};
pub(crate) use client::Client;
pub(crate) use error::ApiError;
pub(crate) use fields::{Fields, unknown_word, wrong_type};
pub(crate) use path::PathText;
