//! Arguments in two steps.
//!
//! 1. [`LowArgs`] is what the user typed, parsed by clap: strings and options.
//! 2. `HiArgs` is what the program needs: a [`Job`] in the engine's types, checked, with
//!    defaults and the environment taken into account. Nothing below sees a `LowArgs`.

mod bench;
mod config;
mod eval;
mod high;
mod low;
mod serve;
mod values;

pub(crate) use bench::{BenchJob, Form, Measurement};
pub(crate) use config::ConfigFile;
pub(crate) use eval::{EvalJob, TaskSource};
#[cfg(test)]
pub(crate) use high::answer_options;
pub(crate) use high::{
    AnswerOptions, ChatJob, InspectJob, Job, ModelChoice, PromptSources, QuantizeJob, RunJob,
    TemplateJob,
};
pub(crate) use low::LowArgs;
pub(crate) use values::{ColorWhen, EffortLevel, ShowThinking};
