//! Plain tables for people: columns with two spaces between them, no lines.

use ponder_figures::Table;
use unicode_width::UnicodeWidthStr;

use super::clean;
use super::style::Styles;

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The lines of a table below bold headings.
///
/// Cells are cleaned, since names may come from other people's files. Rows that are
/// shorter than the heading end with empty cells.
pub(crate) fn table(columns: &[(&str, Align)], rows: &[Vec<String>], styles: Styles) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cell_text(cell)).collect())
        .collect();
    let width = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.width())
            .fold(heading.width(), usize::max)
    };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(column, (heading, _))| width(column, heading))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(columns.iter().zip(&widths))
            .map(|(cell, ((_, align), &width))| pad(cell, width, *align))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = String::new();
    if columns.iter().any(|(heading, _)| !heading.is_empty()) {
        let headings = line(&mut columns.iter().map(|(heading, _)| *heading));
        text += &styles.bold(&headings);
        text.push('\n');
    }
    for row in &rows {
        text += &line(&mut row.iter().map(String::as_str));
        text.push('\n');
    }
    text
}

/// A table of a report.
pub(crate) fn shown(content: &Table, styles: Styles) -> String {
    let align = |is_number| match is_number {
        true => Align::Right,
        false => Align::Left,
    };
    let columns = content.columns.iter();
    let columns: Vec<_> = columns
        .map(|(name, is_number)| (name.as_str(), align(*is_number)))
        .collect();
    table(&columns, &content.rows, styles)
}

/// Names and values below each other, the names dimmed.
pub(crate) fn pairs(rows: &[(&str, String)], styles: Styles) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| {
            let name = styles.dim(&pad(name, width, Align::Left));
            format!("{name}  {}\n", cell_text(value))
        })
        .collect()
}

fn cell_text(cell: &str) -> String {
    clean(cell).replace(['\n', '\t'], " ")
}

fn pad(cell: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(cell.width()));
    match align {
        Align::Left => format!("{cell}{space}"),
        Align::Right => format!("{space}{cell}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["日本".to_owned(), "1 B".to_owned()],
            vec!["x\u{1b}".to_owned(), "98.4 MB".to_owned()],
        ];
        let columns = [("NAME", Align::Left), ("SIZE", Align::Right)];
        let text = table(&columns, &rows, Styles::new(false));
        assert_eq!(text, "NAME     SIZE\n日本      1 B\nx␛    98.4 MB\n");
    }

    #[test]
    fn pairs_line_up() {
        let text = pairs(
            &[("a", "1".to_owned()), ("long", "2\n3".to_owned())],
            Styles::new(false),
        );
        assert_eq!(text, "a     1\nlong  2 3\n");
    }
}
