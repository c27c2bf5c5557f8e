//! An OpenAI-compatible server on top of the engine.

#![forbid(unsafe_code)]
