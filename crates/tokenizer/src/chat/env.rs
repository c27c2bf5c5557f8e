//! The Jinja environment that chat templates are written for.
//!
//! It is that of transformers: a sandboxed Jinja with `trim_blocks` and `lstrip_blocks`, loop
//! controls, `tojson`, `raise_exception` and `strftime_now`, and Python's own notion of
//! text, methods and tests. No loader is set, so a template reaches no file.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::{json, methods, python, source};

/// Depth of macro calls and recursive loops.
const MAX_RECURSION: usize = 100;

/// What `raise_exception` was called with, carried as the source of the engine's error.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// An environment without templates; `strftime_now` comes with the variables of a rendering.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_recursion_limit(MAX_RECURSION);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_unknown_method_callback(methods::call);
    env.set_formatter(|out, _, value| {
        let mut text = String::new();
        python::write_str(&mut text, value)?;
        out.write_str(&text).map_err(Error::from)
    });
    minijinja_contrib::add_to_environment(&mut env);
    env.remove_global("debug");
    env.add_function(
        "raise_exception",
        |message: Value| -> Result<Value, Error> {
            let mut text = String::new();
            python::write_str(&mut text, &message)?;
            Err(Error::new(ErrorKind::InvalidOperation, "raise_exception")
                .with_source(Raised(text)))
        },
    );
    add_filters(&mut env);
    add_tests(&mut env);
    Ok(env)
}

fn add_filters(env: &mut Environment<'static>) {
    env.add_filter("tojson", json::tojson);
    env.add_filter("string", |value: &Value| -> Result<Value, Error> {
        if value.kind() == ValueKind::String {
            return Ok(value.clone());
        }
        Ok(Value::from(python_str(value)?))
    });
    env.add_filter("trim", |value: &Value, chars: Option<Value>| {
        methods::strip(&python_str(value)?, chars.as_ref(), true, true)
    });
    env.add_filter(source::BOUND_FILTER, |state: &State, value: &Value| {
        check_depth(state, value, 0)?;
        // Slices and sums of lists are lazy here; as lists they cost the same however often
        // they are walked.
        if value.kind() == ValueKind::Iterable && value.len().is_some() && !value.is_tuple() {
            let items: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, Error>>()?;
            return Ok(Value::from(items));
        }
        Ok(value.clone())
    });
    env.add_filter(source::ITER_FILTER, |value: &Value| match value.is_none() {
        true => Err(Error::new(
            ErrorKind::InvalidOperation,
            "'NoneType' object is not iterable",
        )),
        false => Ok(value.clone()),
    });
}

/// Fails where a value is nested too deeply; what it visits is paid for by fuel.
fn check_depth(state: &State, value: &Value, depth: usize) -> Result<(), Error> {
    const VALUES_PER_FUEL: usize = 4;
    if !matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
    ) {
        return Ok(());
    }
    if depth > python::MAX_VALUE_DEPTH {
        return Err(python::too_deep());
    }
    let mut visited = 0;
    for item in value.try_iter()?.checked() {
        let item = item?;
        visited += 1;
        if visited % VALUES_PER_FUEL == 0 {
            state.consume_fuel(1)?;
        }
        let nested = match value.kind() {
            ValueKind::Map => value.get_item(&item)?,
            _ => item,
        };
        check_depth(state, &nested, depth + 1)?;
    }
    state.consume_fuel(1)
}

fn python_str(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    python::write_str(&mut text, value)?;
    Ok(text)
}

fn add_tests(env: &mut Environment<'static>) {
    // In Python text and dicts are sequences too, and so are slices of lists, which
    // minijinja keeps lazy.
    env.add_test("sequence", |value: &Value| {
        let kind = value.kind();
        matches!(
            kind,
            ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined
        ) || (kind == ValueKind::Iterable && value.len().is_some())
    });
    env.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    env.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}
