//! Chat templates: messages in, prompt text out.
//!
//! 1. [`Message`] is a turn of a conversation, read leniently from JSON.
//! 2. [`template_vars`] makes the variables that a template is rendered with.
//! 3. [`ChatTemplate::render`] gives the text, as transformers' Jinja environment would.

mod clock;
mod env;
mod json;
mod message;
mod methods;
mod probe;
mod python;
mod request;
mod source;
mod template;

#[cfg(test)]
mod tests;

pub use clock::{InvalidTime, LocalTime};
pub use message::{Content, ContentPart, FunctionCall, Message, ToolCall};
pub use request::{ChatRequest, PromptOptions, template_vars};
pub use template::{ChatTemplate, TemplateError};
