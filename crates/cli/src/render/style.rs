//! Styled text, or plain text where styles are off.

use anstyle::{AnsiColor, Color, Effects, Style};

/// Paints text where styles are on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styles {
    on: bool,
}

impl Styles {
    /// Styles that paint, or that leave the text as it is.
    pub(crate) const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether anything is painted.
    pub(crate) const fn are_on(self) -> bool {
        self.on
    }

    /// The text within the style's escape sequences.
    ///
    /// Every piece ends with a reset, so that an answer that is cut off leaves no colour
    /// behind in the terminal.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if !self.on || text.is_empty() || style.is_plain() {
            return text.to_owned();
        }
        format!("{style}{text}{style:#}")
    }

    /// Reasoning, statistics: what is less important than the answer.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// Headings of tables, names.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// The word `error:`.
    pub(crate) fn error(self, text: &str) -> String {
        self.paint(colored(AnsiColor::Red).bold(), text)
    }

    /// The word `hint:`.
    pub(crate) fn hint(self, text: &str) -> String {
        self.paint(colored(AnsiColor::Cyan).bold(), text)
    }
}

/// Plain text in one of the terminal's own sixteen colours.
pub(crate) const fn colored(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// The style with more effects.
pub(crate) fn with(style: Style, effects: Effects) -> Style {
    style.effects(style.get_effects() | effects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_means_untouched() {
        assert_eq!(Styles::new(false).error("error:"), "error:");
        assert_eq!(Styles::new(true).dim(""), "");
    }

    #[test]
    fn every_piece_is_closed() {
        let painted = Styles::new(true).dim("x");
        assert_eq!(painted, "\u{1b}[2mx\u{1b}[0m");
    }
}
