//! Methods of Python's `str`, `list` and `dict` on template values.
//!
//! `minijinja_contrib::pycompat` has the common ones; here are those that it lacks and
//! those where it departs from Python. Whatever changes a list or dict in place stays
//! unknown on purpose: transformers renders in a sandbox that forbids it.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::python::is_space;

/// The callback for methods that a value does not have of its own.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => str_method(state, text, method, args),
        (None, ValueKind::Seq | ValueKind::Iterable) => list_method(value, method, args),
        (None, ValueKind::Map) if method == "copy" => Ok(value.clone()),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    };
    match own {
        Err(err) if err.kind() == ErrorKind::UnknownMethod => {
            pycompat::unknown_method_callback(state, value, method, args)
        }
        result => result,
    }
}

fn str_method(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<Value>,) = from_args(args)?;
            let (start, end) = (method != "rstrip", method != "lstrip");
            strip(text, chars.as_ref(), start, end)
        }
        "split" | "rsplit" => split(state, text, args, method == "rsplit"),
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let (sep,): (&str,) = from_args(args)?;
            partition(text, sep, method == "rpartition")
        }
        "index" | "rindex" => {
            let (what,): (&str,) = from_args(args)?;
            let at = if method == "index" {
                text.find(what)
            } else {
                text.rfind(what)
            };
            let at = at.ok_or_else(|| invalid("substring not found"))?;
            Ok(Value::from(text[..at].chars().count()))
        }
        "zfill" | "ljust" | "rjust" | "center" => pad(state, text, method, args),
        "swapcase" => {
            let () = from_args(args)?;
            let swap = |c: char| -> String {
                if c.is_uppercase() {
                    c.to_lowercase().collect()
                } else {
                    c.to_uppercase().collect()
                }
            };
            Ok(Value::from(text.chars().map(swap).collect::<String>()))
        }
        "title" => {
            let () = from_args(args)?;
            Ok(Value::from(title(text)))
        }
        "casefold" => {
            let () = from_args(args)?;
            Ok(Value::from(text.to_lowercase()))
        }
        "isdecimal" => {
            let () = from_args(args)?;
            Ok(Value::from(
                !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
            ))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn list_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "copy" => Ok(value.clone()),
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            for (i, item) in value.try_iter()?.checked().enumerate() {
                if item? == *wanted {
                    return Ok(Value::from(i));
                }
            }
            Err(invalid("value is not in list"))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// `str.strip` and its one-sided twins; also what the filter `trim` does.
pub(super) fn strip(
    text: &str,
    chars: Option<&Value>,
    start: bool,
    end: bool,
) -> Result<Value, Error> {
    let set: Option<Vec<char>> = match chars {
        None => None,
        Some(chars) if chars.is_none() => None,
        Some(chars) => Some(match chars.as_str() {
            Some(chars) => chars.chars().collect(),
            None => return Err(invalid("strip arg must be None or str")),
        }),
    };
    let matches = |c: char| {
        set.as_ref()
            .map_or_else(|| is_space(c), |set| set.contains(&c))
    };
    let text = if start {
        text.trim_start_matches(matches)
    } else {
        text
    };
    let text = if end {
        text.trim_end_matches(matches)
    } else {
        text
    };
    Ok(Value::from(text))
}

/// `str.split(sep=None, maxsplit=-1)` and `str.rsplit`.
fn split(state: &State, text: &str, args: &[Value], from_end: bool) -> Result<Value, Error> {
    let (sep, max, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let sep = sep.or(kwargs.get("sep")?).filter(|sep| !sep.is_none());
    let max = max.or(kwargs.get("maxsplit")?).unwrap_or(-1);
    kwargs.assert_all_used()?;
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    // A part costs a slot of its own, which a long run of separators can make many of.
    let mut push = |part| {
        parts.push(part);
        state.consume_fuel(1)
    };
    let mut rest = text;
    match &sep {
        Some(sep) => {
            let sep = sep.as_str().ok_or_else(|| invalid("must be str or None"))?;
            if sep.is_empty() {
                return Err(invalid("empty separator"));
            }
            for _ in 0..max {
                let found = if from_end {
                    rest.rsplit_once(sep)
                } else {
                    rest.split_once(sep)
                };
                let Some((before, after)) = found else { break };
                let (part, next) = if from_end {
                    (after, before)
                } else {
                    (before, after)
                };
                push(part)?;
                rest = next;
            }
            push(rest)?;
        }
        None => {
            for _ in 0..max {
                rest = if from_end {
                    rest.trim_end_matches(is_space)
                } else {
                    rest.trim_start_matches(is_space)
                };
                let at = if from_end {
                    rest.rfind(is_space)
                } else {
                    rest.find(is_space)
                };
                let Some(at) = at else { break };
                let (part, next) = if from_end {
                    let start = at + rest[at..].chars().next().map_or(0, char::len_utf8);
                    (&rest[start..], &rest[..at])
                } else {
                    rest.split_at(at)
                };
                push(part)?;
                rest = next;
            }
            rest = if from_end {
                rest.trim_end_matches(is_space)
            } else {
                rest.trim_start_matches(is_space)
            };
            if !rest.is_empty() {
                push(rest)?;
            }
        }
    }
    if from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Python starts a word after every character that is no letter.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic();
    }
    out
}

fn partition(text: &str, sep: &str, from_end: bool) -> Result<Value, Error> {
    if sep.is_empty() {
        return Err(invalid("empty separator"));
    }
    let found = if from_end {
        text.rsplit_once(sep)
    } else {
        text.split_once(sep)
    };
    let parts = match found {
        Some((before, after)) => [before, sep, after],
        None if from_end => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(minijinja::value::Tuple::from(
        parts.map(Value::from).to_vec(),
    )))
}

fn pad(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (i64, Rest<&str>) = from_args(args)?;
    let fill = match (method, fill.first()) {
        ("zfill", _) => '0',
        (_, None) => ' ',
        (_, Some(fill)) => {
            let mut chars = fill.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => c,
                _ => {
                    return Err(invalid(
                        "the fill character must be exactly one character long",
                    ));
                }
            }
        }
    };
    let missing = usize::try_from(width)
        .unwrap_or(0)
        .saturating_sub(text.chars().count());
    state.consume_fuel(missing as u64)?;
    let (left, right) = match method {
        "ljust" => (0, missing),
        // CPython puts the odd character on the left when the width is odd.
        "center" => {
            let left = missing / 2 + (missing & (width as usize) & 1);
            (left, missing - left)
        }
        _ => (missing, 0),
    };
    let (sign, digits) = match (method, text.strip_prefix(['+', '-'])) {
        ("zfill", Some(digits)) => text.split_at(text.len() - digits.len()),
        _ => ("", text),
    };
    let fill = |n: usize| fill.to_string().repeat(n);
    Ok(Value::from(format!(
        "{sign}{}{digits}{}",
        fill(left),
        fill(right)
    )))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
