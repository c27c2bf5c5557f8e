//! Tables for people.

/// A table: columns with a heading, and rows of as many cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Headings, and whether what stands below is a number.
    pub columns: Vec<(String, bool)>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// A column: its heading, whether it holds numbers, and its cell in the row of an item.
pub struct Column<T> {
    name: String,
    is_number: bool,
    cell: Cell<T>,
}

type Cell<T> = Box<dyn Fn(&T) -> String>;

impl<T> Column<T> {
    /// A column of words.
    pub fn words(name: impl Into<String>, cell: impl Fn(&T) -> String + 'static) -> Self {
        Self {
            name: name.into(),
            is_number: false,
            cell: Box::new(cell),
        }
    }

    /// A column of numbers.
    pub fn numbers(name: impl Into<String>, cell: impl Fn(&T) -> String + 'static) -> Self {
        Self {
            is_number: true,
            ..Self::words(name, cell)
        }
    }

    /// Its heading, and whether it holds numbers.
    #[must_use]
    pub fn heading(&self) -> (String, bool) {
        (self.name.clone(), self.is_number)
    }

    /// The cell of an item.
    #[must_use]
    pub fn cell(&self, item: &T) -> String {
        (self.cell)(item)
    }
}

impl Table {
    /// A row for each item.
    #[must_use]
    pub fn of<T>(columns: &[Column<T>], items: &[T]) -> Self {
        let row = |item| columns.iter().map(|column| column.cell(item)).collect();
        Self {
            columns: columns.iter().map(Column::heading).collect(),
            rows: items.iter().map(row).collect(),
        }
    }

    /// The table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let clean = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let rule = |is_number: bool| if is_number { "--:" } else { "---" }.to_owned();
        let mut text = line(self.columns.iter().map(|(name, _)| clean(name)).collect());
        text += &line(self.columns.iter().map(|column| rule(column.1)).collect());
        for row in &self.rows {
            text += &line(row.iter().map(clean).collect());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_has_a_line_for_each_item() {
        let columns = [
            Column::words("name", |n: &u32| format!("a|{n}\nb")),
            Column::numbers("n", u32::to_string),
        ];
        let table = Table::of(&columns, &[1, 22]);
        assert_eq!(
            table.markdown(),
            "| name | n |\n| --- | --: |\n| a\\|1 b | 1 |\n| a\\|22 b | 22 |\n"
        );
    }
}
