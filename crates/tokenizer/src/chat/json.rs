//! `json.dumps` as transformers registers it under the name `tojson`.
//!
//! Jinja's own `tojson` escapes HTML; transformers replaces it by plain `json.dumps` with
//! `ensure_ascii=False`, so separators are `", "` and `": "`, key order is kept, and floats
//! are written as Python's `repr`.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::python::{MAX_VALUE_DEPTH, float_repr, too_deep};

/// The filter `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    positional: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let pick = |at: usize, name: &str| match positional.get(at) {
        Some(value) => Ok::<_, Error>(value.clone()),
        None => Ok(kwargs
            .get::<Option<Value>>(name)?
            .unwrap_or(Value::from(()))),
    };
    let indent = pick(1, "indent")?;
    let separators = pick(2, "separators")?;
    let mut dumper = Dumper {
        out: String::new(),
        charged: 0,
        state,
        ensure_ascii: pick(0, "ensure_ascii")?.is_true(),
        sort_keys: pick(3, "sort_keys")?.is_true(),
        indent: parse_indent(&indent)?,
        item_separator: if indent.is_none() { ", " } else { "," }.to_owned(),
        key_separator: ": ".to_owned(),
    };
    if !separators.is_none() {
        let mut parts = separators.try_iter()?;
        let mut next = || {
            parts.next().and_then(|part| part.to_str()).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidOperation,
                    "separators must be two strings",
                )
            })
        };
        dumper.item_separator = next()?.to_string();
        dumper.key_separator = next()?.to_string();
    }
    kwargs.assert_all_used()?;
    dumper.write(value, 0)?;
    Ok(Value::from(dumper.out))
}

/// An indent is a number of spaces or the text of one level; as in Python, a negative one is 0.
fn parse_indent(indent: &Value) -> Result<Option<String>, Error> {
    if indent.is_none() {
        return Ok(None);
    }
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let width = indent.as_i64().unwrap_or(0).max(0);
    if width > 64 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "indent is above 64",
        ));
    }
    Ok(Some(" ".repeat(width as usize)))
}

struct Dumper<'a, 'b, 'c> {
    out: String,
    charged: usize,
    state: &'a State<'b, 'c>,
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

impl Dumper<'_, '_, '_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_VALUE_DEPTH {
            return Err(too_deep());
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.write_number(value)?,
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.write_list(value, depth)?,
            ValueKind::Map => self.write_map(value, depth)?,
            kind => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("object of type {kind} is not JSON serializable"),
                ));
            }
        }
        self.charge()
    }

    /// Pays for what was written since the last call, so that a huge value stops early.
    fn charge(&mut self) -> Result<(), Error> {
        const BYTES_PER_FUEL: usize = 4;
        let fuel = (self.out.len() - self.charged) / BYTES_PER_FUEL;
        self.charged += fuel * BYTES_PER_FUEL;
        self.state.consume_fuel(fuel as u64)
    }

    fn write_number(&mut self, value: &Value) -> Result<(), Error> {
        if value.is_integer() {
            let _ = write!(self.out, "{value}");
            return Ok(());
        }
        let x = f64::try_from(value.clone())?;
        self.out.push_str(&match x {
            x if x.is_nan() => "NaN".to_owned(),
            x if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            x => float_repr(x),
        });
        Ok(())
    }

    fn write_list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut empty = true;
        for item in value.try_iter()?.checked() {
            self.write_item_start(empty, depth + 1);
            empty = false;
            self.write(&item?, depth + 1)?;
        }
        self.write_end(empty, depth, ']');
        Ok(())
    }

    fn write_map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys = Vec::new();
        for key in value.try_iter()?.checked() {
            let key = key?;
            keys.push((key_text(&key)?, key));
        }
        if self.sort_keys {
            keys.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.out.push('{');
        let empty = keys.is_empty();
        for (i, (text, key)) in keys.iter().enumerate() {
            self.write_item_start(i == 0, depth + 1);
            self.write_string(text);
            self.out.push_str(&self.key_separator);
            self.write(&value.get_item(key)?, depth + 1)?;
        }
        self.write_end(empty, depth, '}');
        Ok(())
    }

    fn write_item_start(&mut self, first: bool, depth: usize) {
        if !first {
            self.out.push_str(&self.item_separator);
        }
        self.write_line_start(depth);
    }

    fn write_end(&mut self, empty: bool, depth: usize, close: char) {
        if !empty {
            self.write_line_start(depth);
        }
        self.out.push(close);
    }

    fn write_line_start(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn write_string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// `json.dumps` writes scalar keys as strings and refuses all others.
fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number if key.is_integer() => key.to_string(),
        ValueKind::Number => float_repr(f64::try_from(key.clone())?),
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("keys must be str, int, float, bool or None, not {kind}"),
            ));
        }
    })
}
