//! What all pictures share: an SVG frame with a title, colours and labels.
//!
//! The background is left out and all greys are middle ones, so that a picture can be read on white
//! and on black.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The colour of everything that is no data.
pub const GREY: RGBColor = RGBColor(125, 125, 125);

/// Colours that people who are colour-blind tell apart (Okabe and Ito 2008), without the two that
/// vanish on white or black.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];

/// Pixels of the title.
const TITLE: u32 = 24;

/// A part of a picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Whether the drawing library could draw; there is no known way in which it cannot.
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The text of an SVG file of `size` pixels: a title, and what `draw` puts below it.
///
/// # Errors
/// What `draw` or the drawing library says.
pub fn svg(
    size: (u32, u32),
    title: String,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let (head, rest) = root.split_vertically(TITLE);
        head.draw(&Text::new(title, (10, 6), label(13, HPos::Left, VPos::Top)))?;
        draw(&rest)?;
        root.present()?;
    }
    Ok(text)
}

/// The colour of a series.
#[must_use]
pub fn color(index: usize) -> RGBColor {
    COLORS[index % COLORS.len()]
}

/// The style of a text, and where it stands from its point.
#[must_use]
pub fn label(size: u32, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font();
    font.color(&GREY).pos(Pos::new(h, v))
}

/// A model's name, without the folders or the owner before it.
#[must_use]
pub fn short_name(model: &str) -> &str {
    model.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_a_title_and_what_is_drawn() {
        let text = svg((100, 60), "a title".to_owned(), |area| {
            area.draw(&Circle::new((5, 5), 3, color(7).filled()))?;
            Ok(())
        });
        let text = text.expect("a picture");
        assert!(text.starts_with("<svg") && text.contains("a title") && text.contains("<circle"));
        assert_eq!(color(7), color(1));
        assert_eq!(short_name("a/b.gguf"), "b.gguf");
        assert_eq!(short_name("default"), "default");
    }
}
