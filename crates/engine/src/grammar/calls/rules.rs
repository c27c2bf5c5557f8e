//! Writing a grammar down.

use std::fmt::Write;

use serde_json::Value;

/// Rules and terminals of a grammar, as they come.
#[derive(Debug, Default)]
pub(super) struct Rules {
    text: String,
    n: usize,
}

impl Rules {
    /// White space between parts is there already, as `WS`.
    pub(super) fn new() -> Self {
        Self {
            // An empty line at most: models that are given more take it.
            text: "WS: / |\\n{1,2}( {0,20}|\\t{0,10})/\n".to_owned(),
            n: 0,
        }
    }

    /// A rule; its name.
    pub(super) fn add(&mut self, name: &str, body: &str) -> String {
        let name = self.reserve(name);
        self.write(&name, body);
        name
    }

    /// The name of a rule that is to be [set](Self::set).
    pub(super) fn reserve(&mut self, name: &str) -> String {
        self.n += 1;
        format!("{name}_{}", self.n)
    }

    /// The body of a rule that was reserved.
    pub(super) fn set(&mut self, name: &str, body: &str) {
        self.write(name, body);
    }

    /// A terminal; its name.
    pub(super) fn terminal(&mut self, body: &str) -> String {
        self.n += 1;
        let name = format!("T_{}", self.n);
        self.write(&name, body);
        name
    }

    /// A rule for a text that ends with the first `end`, which it includes.
    pub(super) fn until(&mut self, terminal: &str, end: &str) -> String {
        self.n += 1;
        let name = format!("until_{}", self.n);
        self.write(&format!("{name}[suffix={}]", literal(end)), terminal);
        name
    }

    fn write(&mut self, name: &str, body: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{name}: {body}");
    }

    /// The grammar that begins with `start`.
    pub(super) fn finish(mut self, start: &str) -> String {
        self.write("start", start);
        self.text
    }
}

/// A text as it is.
pub(in crate::grammar) fn literal(text: &str) -> String {
    // JSON leaves one control character as it is.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A text as it is, inside a regular expression.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || matches!(c, '_' | ' ' | '"' | '=' | ':' | '<' | '>') => {
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_graphic() => {
                out.push('\\');
                out.push(c);
            }
            c => {
                let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
            }
        }
    }
    out
}
