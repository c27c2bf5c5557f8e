//! Small rewrites of a template's source before it is compiled.
//!
//! Some things that Jinja in transformers does have no counterpart in minijinja, so they
//! are expressed in terms that it has:
//!
//! * `{% generation %}…{% endgeneration %}` (marks the assistant's own tokens for training)
//!   renders its body in a scope of its own: it becomes `{% with %}…{% endwith %}`.
//! * `{% for x in EXPR %}` becomes `{% for x in (EXPR)|`[`ITER_FILTER`]` %}`, because Python
//!   refuses to iterate over `None` where minijinja iterates over nothing.
//! * `{% set x = EXPR %}` becomes `{% set x = (EXPR)|`[`BOUND_FILTER`]` %}`: assignments are how a
//!   template could nest values without end, and dropping such a value would overflow the stack.
//!
//! Line numbers stay what they were, so that errors point into the original text.

use std::borrow::Cow;

/// The filter that [`rewrite`] puts around what a `for` loop iterates over.
pub(super) const ITER_FILTER: &str = "__python_iter";

/// The filter that [`rewrite`] puts around what is assigned.
pub(super) const BOUND_FILTER: &str = "__bounded";

/// Code of one tag beyond this, string literals not counted, is refused: an expression of a
/// few letters repeated without end makes the compiler slow and its recursion deep.
const MAX_CODE_BYTES: usize = 4096;

/// A tag holds more code than [`MAX_CODE_BYTES`].
#[derive(Debug, PartialEq)]
pub(super) struct TooLong;

/// Rewrites `source`; text that cannot be a template is passed on for the compiler to refuse.
pub(super) fn rewrite(source: &str) -> Result<String, TooLong> {
    let source = normalize_newlines(source);
    let mut out = String::with_capacity(source.len() + 64);
    let mut rest: &str = &source;
    while let Some(start) = rest.find('{') {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let len = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'{') => code_end(&tag[2..], "}}")?.map(|end| end + 4),
            Some(b'%') => match raw_block_len(tag) {
                Some(len) => Some(len),
                None => code_end(&tag[2..], "%}")?.map(|end| {
                    push_statement(&mut out, &tag[2..2 + end]);
                    rest = &tag[end + 4..];
                    0
                }),
            },
            _ => Some(1),
        };
        match len {
            Some(0) => {}
            Some(len) => {
                out.push_str(&tag[..len]);
                rest = &tag[len..];
            }
            // The tag never ends: the compiler says where.
            None => {
                out.push_str(tag);
                return Ok(out);
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Jinja's lexer turns every kind of line end into `\n`.
fn normalize_newlines(source: &str) -> Cow<'_, str> {
    if source.contains('\r') {
        Cow::Owned(source.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(source)
    }
}

/// Writes `{%` … `%}` around the statement, changed where it is one of ours.
fn push_statement(out: &mut String, body: &str) {
    let inner = body.trim_start_matches(['-', '+']).trim_start();
    let lead = &body[..body.len() - inner.len()];
    let word_len = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (word, tail) = inner.split_at(word_len);
    out.push_str("{%");
    out.push_str(lead);
    match word {
        "generation" => out.extend(["with", tail]),
        "endgeneration" => out.extend(["endwith", tail]),
        "for" => push_filtered(out, "for", ITER_FILTER, tail, loop_parts(tail)),
        "set" => push_filtered(out, "set", BOUND_FILTER, tail, assignment_parts(tail)),
        _ => out.push_str(inner),
    }
    out.push_str("%}");
}

/// Writes the statement with `filter` around the middle one of its three parts.
fn push_filtered(
    out: &mut String,
    word: &str,
    filter: &str,
    tail: &str,
    parts: Option<(&str, &str, &str)>,
) {
    out.push_str(word);
    let Some((before, expression, after)) = parts else {
        out.push_str(tail);
        return;
    };
    let core = expression.trim();
    let space = &expression[expression.trim_end().len()..];
    let space = if space.is_empty() && !after.is_empty() {
        " "
    } else {
        space
    };
    out.extend([before, " (", core, ")|", filter, space, after]);
}

/// Splits ` x.y = EXPR -` into what stands up to and with `=`, the expression, and the rest.
fn assignment_parts(tail: &str) -> Option<(&str, &str, &str)> {
    // What stands before the `=` of an assignment is names, dots and commas only.
    let at =
        tail.find(|c: char| !(c.is_alphanumeric() || c.is_whitespace() || "_.,()".contains(c)))?;
    let is_assignment = tail[at..].starts_with('=') && !tail[at..].starts_with("==");
    let end = tail.len() - usize::from(tail.ends_with(['-', '+']));
    (is_assignment && at < end).then(|| (&tail[..=at], &tail[at + 1..end], &tail[end..]))
}

/// Splits ` x, y in EXPR if …-` into what stands up to and with `in`, the expression, and the rest.
fn loop_parts(tail: &str) -> Option<(&str, &str, &str)> {
    let mut targets_end = None;
    for (at, word) in top_level_words(tail) {
        match (word, targets_end) {
            ("in", None) => targets_end = Some(at + word.len()),
            ("if" | "recursive", Some(start)) => {
                return Some((&tail[..start], &tail[start..at], &tail[at..]));
            }
            _ => {}
        }
    }
    let start = targets_end?;
    let end = tail.len() - usize::from(tail.ends_with(['-', '+']));
    Some((&tail[..start], &tail[start..end], &tail[end..]))
}

/// The words outside strings and brackets, with their byte offsets.
fn top_level_words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let mut at = 0;
    let mut depth = 0usize;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match bytes[at] {
                b'\'' | b'"' => at = string_end(bytes, at),
                b'(' | b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
                b')' | b']' | b'}' => (depth, at) = (depth.saturating_sub(1), at + 1),
                b if b.is_ascii_alphanumeric() || b == b'_' => {
                    let start = at;
                    while at < bytes.len()
                        && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_')
                    {
                        at += 1;
                    }
                    let attribute = start > 0 && bytes[start - 1] == b'.';
                    if depth == 0 && !attribute {
                        return Some((start, &code[start..at]));
                    }
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// Where `end` stands in `code`, outside strings and balanced braces as Jinja's lexer sees it.
fn code_end(code: &str, end: &str) -> Result<Option<usize>, TooLong> {
    let bytes = code.as_bytes();
    let mut at = 0;
    let mut depth = 0usize;
    let mut n_code_bytes = 0;
    while at < bytes.len() {
        if depth == 0 && bytes[at..].starts_with(end.as_bytes()) {
            return Ok(Some(at));
        }
        n_code_bytes += 1;
        if n_code_bytes > MAX_CODE_BYTES {
            return Err(TooLong);
        }
        match bytes[at] {
            b'\'' | b'"' => at = string_end(bytes, at),
            b'(' | b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
            b')' | b']' | b'}' => (depth, at) = (depth.saturating_sub(1), at + 1),
            _ => at += 1,
        }
    }
    Ok(None)
}

/// The offset behind the string literal that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of `{% raw %}…{% endraw %}` if `tag` starts with one.
fn raw_block_len(tag: &str) -> Option<usize> {
    let (body, _) = tag[2..].split_once("%}")?;
    if body.trim_matches(['-', '+']).trim() != "raw" {
        return None;
    }
    let mut from = 2 + body.len() + 2;
    while let Some(start) = tag[from..].find("{%") {
        let inner_start = from + start + 2;
        let (inner, _) = tag[inner_start..].split_once("%}")?;
        if inner.trim_matches(['-', '+']).trim() == "endraw" {
            return Some(inner_start + inner.len() + 2);
        }
        from = inner_start;
    }
    None
}

#[cfg(test)]
mod tests {
    fn rewrite(source: &str) -> String {
        super::rewrite(source).unwrap()
    }

    fn same(source: &str) {
        assert_eq!(rewrite(source), source);
    }

    #[test]
    fn loops_iterate_as_python_does() {
        assert_eq!(
            rewrite("{%- for m in messages[1:] -%}x{% endfor %}"),
            "{%- for m in (messages[1:])|__python_iter -%}x{% endfor %}"
        );
        assert_eq!(
            rewrite("{% for k, v in d | dictsort if 'if' in k and v.in recursive %}"),
            "{% for k, v in (d | dictsort)|__python_iter if 'if' in k and v.in recursive %}"
        );
        assert_eq!(
            rewrite("{% for x in (a if b else c) %}"),
            "{% for x in ((a if b else c))|__python_iter %}"
        );
        assert_eq!(
            rewrite("{% for x in ' if %} ' %}"),
            "{% for x in (' if %} ')|__python_iter %}"
        );
    }

    #[test]
    fn assignments_are_bounded() {
        assert_eq!(
            rewrite("{%- set ns.x = a == b -%}{% set a, b = 1, 2%}{%set x=1-%}"),
            "{%- set ns.x = (a == b)|__bounded -%}{% set a, b = (1, 2)|__bounded%}{%set x= (1)|__bounded -%}"
        );
        same("{% set x %}{% endset %}{% set x | upper %}{% endset %}{% set x == 1 %}");
    }

    #[test]
    fn generation_is_a_scope() {
        assert_eq!(
            rewrite("{%- generation -%}a{% endgeneration %}\r\nb"),
            "{%- with -%}a{% endwith %}\nb"
        );
    }

    #[test]
    fn everything_else_is_untouched() {
        same("{{ {'a': {'b': '}}'}} }} { {# {% for x in y %} #} {%setfor_x = 1%}");
        same("{% raw %}{% for x in y %}{{{% endraw %}{{ generation }}");
        same("{% for x in y");
        same("{{ 'unterminated ");
        same("{% for %}");
        same("{");
    }
}
