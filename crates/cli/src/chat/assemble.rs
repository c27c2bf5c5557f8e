//! Joins lines to turns.

/// The marker around a block of lines.
const BLOCK: &str = "\"\"\"";

/// Collects the lines of one turn.
///
/// A line that ends with a backslash goes on in the next one. A turn that begins with
/// `"""` goes on until a line ends with `"""`, whatever stands between. Lines that are
/// pasted come as one line with newlines in it and are left as they are.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    lines: Vec<String>,
    is_block: bool,
}

impl Assembler {
    /// Whether a turn has been begun.
    pub(super) fn is_open(&self) -> bool {
        self.is_block || !self.lines.is_empty()
    }

    /// Takes a line; returns the turn that it completes.
    pub(super) fn push(&mut self, line: &str) -> Option<String> {
        if self.is_block {
            return self.push_block(line);
        }
        if self.lines.is_empty()
            && let Some(rest) = line.trim_start().strip_prefix(BLOCK)
        {
            self.is_block = true;
            // Text behind the opening marker is the block's first line.
            return match rest.trim().is_empty() {
                true => None,
                false => self.push_block(rest),
            };
        }
        match line.strip_suffix('\\') {
            Some(line) => {
                self.lines.push(line.to_owned());
                None
            }
            None => {
                self.lines.push(line.to_owned());
                Some(self.take())
            }
        }
    }

    fn push_block(&mut self, line: &str) -> Option<String> {
        let Some(rest) = line.trim_end().strip_suffix(BLOCK) else {
            self.lines.push(line.to_owned());
            return None;
        };
        if !rest.trim().is_empty() {
            self.lines.push(rest.to_owned());
        }
        Some(self.take())
    }

    /// The lines so far, joined; the next line begins a new turn.
    pub(super) fn take(&mut self) -> String {
        self.is_block = false;
        std::mem::take(&mut self.lines).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(lines: &[&str]) -> (Vec<String>, bool) {
        let mut assembler = Assembler::default();
        let turns = lines.iter().filter_map(|line| assembler.push(line));
        (turns.collect(), assembler.is_open())
    }

    #[test]
    fn lines_are_turns() {
        assert_eq!(
            turns(&["a", "", "b"]).0,
            ["a".to_owned(), String::new(), "b".to_owned()]
        );
    }

    #[test]
    fn backslashes_join_lines() {
        assert_eq!(turns(&["a\\", "b \\", "c", "d"]).0, ["a\nb \nc", "d"]);
        assert!(turns(&["a\\"]).1);
    }

    #[test]
    fn blocks_hold_everything() {
        let lines = ["\"\"\"", "a\\", "", "/exit", "b\"\"\"", "c"];
        assert_eq!(turns(&lines).0, ["a\\\n\n/exit\nb", "c"]);
        assert_eq!(turns(&["\"\"\"a", "b", "\"\"\""]).0, ["a\nb"]);
        assert_eq!(turns(&["\"\"\"one line\"\"\""]).0, ["one line"]);
        assert!(turns(&["\"\"\"", "a"]).1);
    }

    #[test]
    fn an_open_turn_can_be_dropped() {
        let mut assembler = Assembler::default();
        assembler.push("\"\"\"");
        assembler.push("a");
        assert_eq!(assembler.take(), "a");
        assert!(!assembler.is_open());
        assert_eq!(assembler.push("b").as_deref(), Some("b"));
    }
}
