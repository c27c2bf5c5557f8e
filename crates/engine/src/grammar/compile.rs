//! Formats → compiled grammars, within bounds.

use std::sync::{Mutex, PoisonError};

use llguidance::{
    Matcher, ParserFactory,
    api::{GrammarWithLexer, TopLevelGrammar},
    earley::SlicedBiasComputer,
    toktrie::InferenceCapabilities,
};
use serde_json::{Value, json};

use super::{Machine, Mask, lark, machine::first_line, recent::Recent, schema, words::Words};
use crate::{EngineError, Format};

/// Grammars that are kept.
const N_KEPT: usize = 32;
/// Bytes of a regular expression.
const MAX_REGEX: usize = 8 << 10;
/// The library walks grammars by recursion.
const STACK_BYTES: usize = 32 << 20;

/// Letters that may follow a backslash in a JSON text. Escapes by number would let a name come in
/// two spellings.
pub(super) const ESCAPES: &str = "nrbtf\\\"";

/// White space between the parts of a JSON document: a space, or a new line that is indented. Where
/// more is allowed small models write little else until their answer is cut.
const WHITE_SPACE: &str = r"\x20|\x0A(\x20{0,20}|\x09{0,10})";

/// What compiles grammars for one vocabulary.
pub(super) struct Compiler {
    factory: ParserFactory,
    recent: Mutex<Recent<Compiled>>,
}

/// A grammar at its beginning.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) machine: Machine,
    /// It describes JSON.
    pub(super) is_json: bool,
    /// White space at its beginning belongs to it.
    pub(super) begins_blank: bool,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

impl Compiler {
    pub(super) fn new(words: &Words) -> Result<Self, EngineError> {
        let slices = SlicedBiasComputer::json_slices();
        let environment = words.environment();
        let mut factory =
            ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
                .map_err(|error| EngineError::Format(format!("the vocabulary: {error}")))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.verbose_errors = false;
        // Many tools at once need more than one schema does.
        limits.initial_lexer_fuel *= 4;
        Ok(Self {
            factory,
            recent: Mutex::new(Recent::new(N_KEPT)),
        })
    }

    /// A grammar of calls, as text for the library that `write` makes where nothing was compiled for
    /// the same `key` lately.
    pub(super) fn calls(
        &self,
        key: &str,
        words: &Words,
        write: impl FnOnce() -> Result<String, EngineError>,
    ) -> Result<Compiled, EngineError> {
        let key = format!("calls {key}");
        if let Some(compiled) = self.recent().get(&key) {
            return Ok(compiled);
        }
        let compiled = self.compile(&Grammar::Calls(write()?), false, words)?;
        self.recent().insert(key, compiled.clone());
        Ok(compiled)
    }

    /// Whether a schema that was checked can be compiled.
    pub(super) fn check_schema(&self, schema: &Value) -> Result<(), EngineError> {
        let grammar = Grammar::Schema(schema.clone());
        let checked = grammar.checked()?;
        let compiled = self.matcher(checked);
        compiled.map(drop).map_err(|error| grammar.error(&error))
    }

    /// The grammar of a format; `None` where there is none.
    pub(super) fn format(
        &self,
        format: &Format,
        words: &Words,
    ) -> Result<Option<Compiled>, EngineError> {
        let (grammar, is_json) = match format {
            Format::Text => return Ok(None),
            Format::JsonObject => (Grammar::Schema(json!({"type": "object"})), true),
            Format::JsonSchema(schema) => (Grammar::Schema(schema.clone()), true),
            Format::Regex(regex) => (Grammar::Regex(regex.clone()), false),
            Format::Grammar(text) => (Grammar::Lark(text.clone()), false),
        };
        let key = grammar.key();
        if let Some(compiled) = self.recent().get(&key) {
            return Ok(Some(compiled));
        }
        let compiled = self.compile(&grammar, is_json, words)?;
        self.recent().insert(key, compiled.clone());
        Ok(Some(compiled))
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent<Compiled>> {
        // A list is whole between any two of its operations, whoever panicked.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(
        &self,
        grammar: &Grammar,
        is_json: bool,
        words: &Words,
    ) -> Result<Compiled, EngineError> {
        let source = grammar.checked()?;
        let matcher = self
            .matcher(source)
            .map_err(|error| grammar.error(&error))?;
        let mut machine = Machine::new(matcher);
        let mut first = Mask::none(words.len());
        if machine.allow(&mut first).is_err() || first.is_empty() {
            return Err(grammar.error("nothing fits it"));
        }
        let begins_blank = words.blank.iter().any(|&id| first.contains(id));
        Ok(Compiled {
            machine,
            is_json,
            begins_blank,
        })
    }

    fn matcher(&self, source: GrammarWithLexer) -> Result<Matcher, String> {
        let work = || {
            let grammar = TopLevelGrammar::from_grammar(source);
            let parser = self.factory.create_parser(grammar);
            parser.map(|parser| Matcher::new(Ok(parser)))
        };
        let compiled = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, work);
            thread.map(std::thread::ScopedJoinHandle::join)
        });
        match compiled {
            Ok(Ok(Ok(matcher))) => Ok(matcher),
            Ok(Ok(Err(error))) => Err(format!("{error:#}")),
            Ok(Err(_)) => Err("it is too complex".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What is compiled.
#[derive(Debug)]
enum Grammar {
    Schema(Value),
    Regex(String),
    Lark(String),
    Calls(String),
}

impl Grammar {
    /// Tells it from every other.
    fn key(&self) -> String {
        match self {
            Self::Schema(schema) => format!("schema {schema}"),
            Self::Regex(regex) => format!("regex {regex}"),
            Self::Lark(text) => format!("lark {text}"),
            Self::Calls(text) => format!("calls {text}"),
        }
    }

    fn checked(&self) -> Result<GrammarWithLexer, EngineError> {
        match self {
            Self::Schema(schema) => Ok(GrammarWithLexer::from_json_schema(with_settings(
                schema::checked(schema)?,
                ESCAPES,
            ))),
            Self::Regex(regex) if regex.len() > MAX_REGEX => {
                let limit = MAX_REGEX >> 10;
                Err(self.error(&format!("it is longer than {limit} KiB")))
            }
            Self::Regex(regex) => Ok(GrammarWithLexer::from_regex(regex)),
            Self::Lark(text) => Ok(GrammarWithLexer::from_lark(lark::checked(text)?)),
            Self::Calls(text) => Ok(GrammarWithLexer::from_lark(text.clone())),
        }
    }

    fn error(&self, message: &str) -> EngineError {
        let message = first_line(message);
        let what = match self {
            Self::Schema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "grammar",
            Self::Calls(_) => "calls of these tools",
        };
        let message = match self {
            Self::Schema(schema) if message.contains("oneOf constraints") => {
                let place = schema::one_of_place(schema).unwrap_or_else(|| "#".to_owned());
                format!(
                    "`oneOf` at `{place}`: only alternatives that exclude each other, by their types or by constants, can be kept apart (hint: `anyOf` may do)"
                )
            }
            _ => message.chars().take(400).collect(),
        };
        EngineError::Format(format!("{what}, {message}"))
    }
}

/// A checked schema with how it is to be compiled. `escapes`: letters that may follow a backslash in
/// a text.
pub(super) fn with_settings(mut schema: Value, escapes: &str) -> Value {
    if let Value::Object(map) = &mut schema {
        let settings = json!({"whitespace_pattern": WHITE_SPACE, "json_allowed_escapes": escapes});
        map.insert("x-guidance".to_owned(), settings);
    }
    schema
}
