//! [`ChatTemplate`]: a compiled template and its bounded rendering.

use std::sync::OnceLock;

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind};
use serde_json::Value as Json;

use super::clock::LocalTime;
use super::env::{Raised, environment};
use super::probe::Capabilities;
use super::source;

/// Longer sources are refused; the longest published template has about 30 kB.
const MAX_SOURCE_BYTES: usize = 1 << 17;
/// Steps that every rendering may take. One step also pays for 64 bytes of text, so this
/// bounds memory too: to about 256 MB for a template that does nothing but double a string.
const BASE_FUEL: u64 = 4_000_000;
/// Ceiling of the fuel, however long the conversation is.
const MAX_FUEL: u64 = 40_000_000;
const NAME: &str = "chat_template";

/// Why a template could not be compiled or rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The source is no valid Jinja template.
    #[error(
        "chat template, line {line}: {message} (hint: pass a working template with --template)"
    )]
    Syntax {
        /// One-based line of the source; 0 where it is not known.
        line: usize,
        /// What the compiler says.
        message: String,
    },
    /// The template itself refused the conversation by `raise_exception`.
    #[error("the chat template refused the conversation: {message}")]
    Raised {
        /// The template's own words.
        message: String,
    },
    /// An expression failed, as a Python exception would.
    #[error(
        "chat template, line {line}: {message} (hint: the template does not support this conversation)"
    )]
    Eval {
        /// One-based line of the source; 0 where it is not known.
        line: usize,
        /// What the engine says.
        message: String,
    },
    /// The source or its rendering went beyond what any honest template needs.
    #[error("chat template stopped: {0} (hint: the template may be broken or hostile)")]
    Limit(&'static str),
    /// Variables were given as something else than an object.
    #[error("template variables must be a JSON object (hint: {{\"messages\": [...]}})")]
    Variables,
}

/// A chat template: messages in, prompt text out, exactly as transformers renders it.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    source: String,
    capabilities: OnceLock<Capabilities>,
}

impl ChatTemplate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with the line; [`TemplateError::Limit`] beyond 128 KiB.
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(TemplateError::Limit("its source is larger than 128 KiB"));
        }
        let text = source::rewrite(source).map_err(|source::TooLong| {
            TemplateError::Limit("an expression is longer than 4 KiB")
        })?;
        let env = on_large_stack(|| {
            let mut env = environment().map_err(|err| syntax_error(&err))?;
            env.add_template_owned(NAME, text)
                .map_err(|err| syntax_error(&err))?;
            Ok(env)
        })?;
        Ok(Self {
            env,
            source: source.to_owned(),
            capabilities: OnceLock::new(),
        })
    }

    /// ChatML, for a model that brings no template. It is a guess: use it with a warning.
    pub fn fallback() -> Self {
        const CHATML: &str = "{% for message in messages %}\
            {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
            {% endfor %}\
            {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
        Self::new(CHATML).expect("the built-in template compiles")
    }

    /// The source as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the template can be given, found out by rendering small probes once.
    pub(super) fn capabilities(&self) -> &Capabilities {
        self.capabilities.get_or_init(|| Capabilities::probe(self))
    }

    /// Renders with exactly these variables and with `now` (the machine's clock if `None`)
    /// behind `strftime_now`.
    ///
    /// # Errors
    /// [`TemplateError::Raised`] when the template calls `raise_exception`, `Eval` where Python
    /// would raise, `Limit` when the work is out of proportion, `Variables` when `vars` is no object.
    pub fn render(&self, vars: &Json, now: Option<LocalTime>) -> Result<String, TemplateError> {
        self.render_with_fuel(vars, now, fuel(vars))
    }

    pub(super) fn render_with_fuel(
        &self,
        vars: &Json,
        now: Option<LocalTime>,
        fuel: u64,
    ) -> Result<String, TemplateError> {
        let vars = vars.as_object().ok_or(TemplateError::Variables)?;
        let strftime_now = minijinja::Value::from_function(move |format: String| {
            now.unwrap_or_else(LocalTime::now).strftime(&format)
        });
        let context = std::iter::once(("strftime_now", strftime_now)).chain(
            vars.iter()
                .map(|(name, value)| (name.as_str(), minijinja::Value::from(Serde(value)))),
        );
        let context = minijinja::Value::from_pairs(context);
        let mut env = self.env.clone();
        env.set_fuel(Some(fuel));
        on_large_stack(move || {
            let template = env.get_template(NAME).map_err(|err| syntax_error(&err))?;
            template.render(context).map_err(|err| render_error(&err))
        })
    }
}

/// Runs on a stack that holds the deepest expression that a source has room for.
fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    /// Reserved, not used: pages are taken when they are touched.
    const STACK_BYTES: usize = 16 << 20;
    const FAILED: TemplateError = TemplateError::Limit("no thread could be started for it");
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("template".to_owned());
        let thread = builder
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|_| FAILED)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Fuel for a conversation: honest templates walk it a few times, the busiest once per message.
fn fuel(vars: &Json) -> u64 {
    const PER_NODE: u64 = 64;
    const PER_MESSAGE_PAIR: u64 = 64;
    let n_messages = vars
        .get("messages")
        .and_then(Json::as_array)
        .map_or(0, Vec::len) as u64;
    let pairs = n_messages.saturating_mul(n_messages);
    BASE_FUEL
        .saturating_add(weight(vars).saturating_mul(PER_NODE))
        .saturating_add(pairs.saturating_mul(PER_MESSAGE_PAIR))
        .min(MAX_FUEL)
}

/// The number of values, long text counting by its length.
fn weight(value: &Json) -> u64 {
    match value {
        Json::String(text) => 1 + text.len() as u64 / 64,
        Json::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Json::Object(map) => 1 + map.values().map(weight).sum::<u64>(),
        _ => 1,
    }
}

fn message_of(err: &minijinja::Error) -> String {
    match err.detail() {
        Some(detail) => detail.to_owned(),
        None => err.kind().to_string(),
    }
}

fn syntax_error(err: &minijinja::Error) -> TemplateError {
    TemplateError::Syntax {
        line: err.line().unwrap_or(0),
        message: message_of(err),
    }
}

fn render_error(err: &minijinja::Error) -> TemplateError {
    // Errors of macros and filters wrap the one that says why.
    let mut innermost = err;
    let mut source: Option<&dyn std::error::Error> = Some(err);
    while let Some(cause) = source {
        if let Some(raised) = cause.downcast_ref::<Raised>() {
            return TemplateError::Raised {
                message: raised.0.clone(),
            };
        }
        if let Some(inner) = cause.downcast_ref::<minijinja::Error>() {
            innermost = inner;
        }
        source = cause.source();
    }
    if innermost.kind() == ErrorKind::OutOfFuel {
        return TemplateError::Limit("it takes too many steps or writes too much");
    }
    TemplateError::Eval {
        line: innermost.line().or(err.line()).unwrap_or(0),
        message: message_of(innermost),
    }
}
