//! Rust source as a flat list of words, without what does not run.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// An identifier, a keyword or a literal of a source file.
pub(crate) struct Word {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// The words of `source` outside comments, documentation and items that are
/// only compiled for tests.
///
/// Working on tokens rather than on a syntax tree also sees into macros.
pub(crate) fn code_words(source: &str) -> Vec<Word> {
    let tokens: TokenStream = source.parse().expect("a source file that compiles");
    let mut words = Vec::new();
    collect(tokens, &mut words);
    words
}

fn collect(tokens: TokenStream, words: &mut Vec<Word>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let Some((attribute, len)) = attribute(&tokens[at..]) {
            at += len;
            match attribute.as_str() {
                "test" | "cfg (test)" | "cfg(test)" => at += item_len(&tokens[at..]),
                text if text.starts_with("doc") => {}
                _ => collect(attribute.parse().expect("printed tokens"), words),
            }
            continue;
        }
        match &tokens[at] {
            TokenTree::Group(group) => collect(group.stream(), words),
            TokenTree::Punct(_) => {}
            word => words.push(Word {
                text: word.to_string(),
                line: word.span().start().line,
            }),
        }
        at += 1;
    }
}

/// The text of the attribute that `tokens` begin with, and its length.
fn attribute(tokens: &[TokenTree]) -> Option<(String, usize)> {
    let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let at = if is(0, '#') && is(1, '!') {
        2
    } else {
        usize::from(is(0, '#'))
    };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if at > 0 && group.delimiter() == Delimiter::Bracket => {
            Some((group.stream().to_string(), at + 1))
        }
        _ => None,
    }
}

/// How many of `tokens` form the first item: up to its braces or semicolon.
fn item_len(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens
        .iter()
        .position(is_end)
        .map_or(tokens.len(), |end| end + 1)
}

#[test]
fn words_leave_out_comments_docs_and_tests() {
    let source = r#"
        //! crate docs
        // a comment
        /// item docs
        fn run(text: &str) { call!(text, "literal") /* inner */ }
        #[cfg(test)]
        mod tests { fn hidden() {} }
        #[allow(dead_code)]
        const LAST: u8 = 1;
    "#;
    let words: Vec<String> = code_words(source)
        .into_iter()
        .map(|word| word.text)
        .collect();
    let expected = "fn run text str call text \"literal\" allow dead_code const LAST u8 1";
    assert_eq!(words.join(" "), expected);
}
