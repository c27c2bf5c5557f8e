//! Stop strings over a stream of text, across the borders of its pieces.
//!
//! Each stop string runs its Knuth–Morris–Pratt automaton over the bytes. Its state is the length
//! of the longest prefix of the stop string that the text ends in: exactly what has to be held
//! back, no more. Work is linear in the text for each stop string, whatever it contains.

use crate::EffortError;

/// Ends the text at the first stop string and holds back what may become one.
///
/// The match that *ends* first wins, the longest of those that end together: so the result does
/// not depend on how the text was cut into pieces.
#[derive(Debug, Clone)]
pub struct StopStrings {
    patterns: Vec<Pattern>,
    /// What the last call emitted, followed by what is held back.
    buffer: String,
    emitted: usize,
    stop: Option<usize>,
}

/// What [`StopStrings::push`] lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emitted<'a> {
    /// Text that is certain to come before any stop string.
    pub text: &'a str,
    /// Index of the stop string that ended the text.
    pub stop: Option<usize>,
}

impl StopStrings {
    /// # Errors
    /// [`EffortError::EmptyStop`] for an empty stop string.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self, EffortError> {
        if let Some(index) = stops.iter().position(|stop| stop.as_ref().is_empty()) {
            return Err(EffortError::EmptyStop { index });
        }
        let patterns = stops
            .iter()
            .map(|stop| Pattern::new(stop.as_ref()))
            .collect();
        Ok(Self {
            patterns,
            buffer: String::new(),
            emitted: 0,
            stop: None,
        })
    }

    /// Takes the next piece of text and gives back what may be shown. After a stop string it
    /// gives back nothing but the same stop.
    pub fn push(&mut self, text: &str) -> Emitted<'_> {
        self.buffer.drain(..self.emitted);
        self.emitted = 0;
        if self.stop.is_none() {
            let start = self.buffer.len();
            self.buffer.push_str(text);
            self.emitted = self.scan(start);
        }
        Emitted {
            text: &self.buffer[..self.emitted],
            stop: self.stop,
        }
    }

    /// The text has ended: gives back what was held.
    pub fn finish(&mut self) -> &str {
        self.buffer.drain(..self.emitted);
        self.emitted = self.buffer.len();
        self.patterns
            .iter_mut()
            .for_each(|pattern| pattern.state = 0);
        &self.buffer
    }

    /// Runs the automata over `buffer[start..]` and returns how much of the buffer is certain.
    fn scan(&mut self, start: usize) -> usize {
        for at in start..self.buffer.len() {
            let byte = self.buffer.as_bytes()[at];
            let mut longest = 0;
            for (index, pattern) in self.patterns.iter_mut().enumerate() {
                if pattern.step(byte) && pattern.bytes.len() > longest {
                    longest = pattern.bytes.len();
                    self.stop = Some(index);
                }
            }
            if longest > 0 {
                self.buffer.truncate(at + 1 - longest);
                return self.buffer.len();
            }
        }
        let held = self
            .patterns
            .iter()
            .map(|pattern| pattern.state)
            .max()
            .unwrap_or(0);
        self.buffer.len() - held
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    bytes: Box<[u8]>,
    /// `border[n]`: length of the longest proper border of `bytes[..=n]`.
    border: Box<[usize]>,
    state: usize,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.as_bytes().into();
        let mut border = vec![0; bytes.len()];
        let mut state = 0;
        for at in 1..bytes.len() {
            while state > 0 && bytes[at] != bytes[state] {
                state = border[state - 1];
            }
            state += usize::from(bytes[at] == bytes[state]);
            border[at] = state;
        }
        Self {
            bytes,
            border: border.into(),
            state: 0,
        }
    }

    /// Reads one byte; true when the pattern is complete.
    fn step(&mut self, byte: u8) -> bool {
        while self.state > 0 && byte != self.bytes[self.state] {
            self.state = self.border[self.state - 1];
        }
        self.state += usize::from(byte == self.bytes[self.state]);
        self.state == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let mut stream = StopStrings::new(stops).unwrap();
        let mut text = String::new();
        let mut stop = None;
        for piece in pieces {
            let emitted = stream.push(piece);
            text += emitted.text;
            stop = emitted.stop;
        }
        text += stream.finish();
        (text, stop)
    }

    #[test]
    fn holds_back_only_what_may_become_a_stop() {
        let mut stream = StopStrings::new(&["</s>", "User:"]).unwrap();
        assert_eq!(stream.push("hello <").text, "hello ");
        assert_eq!(stream.push("b>").text, "<b>");
        assert_eq!(stream.push("x</").text, "x");
        assert_eq!(
            stream.push("s"),
            Emitted {
                text: "",
                stop: None
            }
        );
        assert_eq!(
            stream.push("> more"),
            Emitted {
                text: "",
                stop: Some(0)
            }
        );
        assert_eq!(
            stream.push("and more"),
            Emitted {
                text: "",
                stop: Some(0)
            }
        );
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn first_end_wins_then_the_longest() {
        assert_eq!(run(&["abcd", "bc"], &["xabcd"]), ("xa".into(), Some(1)));
        assert_eq!(run(&["c", "abc"], &["xab", "c"]), ("x".into(), Some(1)));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".into(), Some(0)));
        assert_eq!(run(&["é"], &["caf", "é!"]), ("caf".into(), Some(0)));
        // The same first byte, another character: nothing is cut inside it.
        assert_eq!(run(&["é"], &["è"]), ("è".into(), None));
        assert_eq!(run(&[], &["plain"]), ("plain".into(), None));
        assert_eq!(run(&["zz"], &["fizz", "y"]), ("fi".into(), Some(0)));
        assert_eq!(run(&["zzz"], &["fizz"]), ("fizz".into(), None));
    }

    #[test]
    fn empty_stop_is_refused() {
        let error = StopStrings::new(&["a", ""]).unwrap_err();
        assert_eq!(error, EffortError::EmptyStop { index: 1 });
    }
}
