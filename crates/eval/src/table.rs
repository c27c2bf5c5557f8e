//! A report as tables, for a terminal or as Markdown.

use crate::{Group, Report, Row};

/// A table: columns with a heading, and rows of as many cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Headings, and whether what stands below is a number.
    pub columns: Vec<(String, bool)>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// A column: its heading, whether it holds numbers, and its cell in a row.
type Column = (String, bool, Box<dyn Fn(&Row) -> String>);

fn column(name: &str, is_number: bool, cell: impl Fn(&Row) -> String + 'static) -> Column {
    (name.to_owned(), is_number, Box::new(cell))
}

impl Table {
    /// A line for each setting. Columns that would say the same everywhere, and nothing at that, are
    /// left out.
    pub fn settings(report: &Report) -> Self {
        let mut columns = setting_columns(report);
        columns.extend(result_columns(report));
        Self {
            columns: columns
                .iter()
                .map(|(name, is_number, _)| (name.clone(), *is_number))
                .collect(),
            rows: report
                .rows
                .iter()
                .map(|row| columns.iter().map(|(.., cell)| cell(row)).collect())
                .collect(),
        }
    }

    /// Accuracy by group of questions and by setting, those of which there are more below each
    /// other; `None` where the task has one group only.
    pub fn groups(report: &Report) -> Option<Self> {
        let groups = &report.rows.first()?.groups;
        match groups.len() {
            0 | 1 => None,
            n if n < report.rows.len() => Some(Self::groups_across(report, groups)),
            _ => Some(Self::groups_down(report, groups)),
        }
    }

    fn groups_down(report: &Report, groups: &[Group]) -> Self {
        let settings = setting_columns(report);
        let heading = |row: &Row| -> String {
            let cells: Vec<String> = settings.iter().map(|(.., cell)| cell(row)).collect();
            cells.join(" ").replace(" off", "")
        };
        let mut columns = vec![("task".to_owned(), false), ("n".to_owned(), true)];
        columns.extend(report.rows.iter().map(|row| (heading(row), true)));
        let line = |(i, group): (usize, &Group)| {
            let mut cells = vec![name(group).to_owned(), group.n.to_string()];
            let shares = report.rows.iter().filter_map(|row| row.groups.get(i));
            cells.extend(shares.map(|group| percent(group.accuracy)));
            cells
        };
        Self {
            rows: groups.iter().enumerate().map(line).collect(),
            columns,
        }
    }

    fn groups_across(report: &Report, groups: &[Group]) -> Self {
        let settings = setting_columns(report);
        let headings = settings
            .iter()
            .map(|(name, is_number, _)| (name.clone(), *is_number));
        let line = |row: &Row| {
            let cells = settings.iter().map(|(.., cell)| cell(row));
            let shares = row.groups.iter().map(|group| percent(group.accuracy));
            cells.chain(shares).collect()
        };
        let names = groups
            .iter()
            .map(|group| (format!("{} ({})", name(group), group.n), true));
        Self {
            columns: headings.chain(names).collect(),
            rows: report.rows.iter().map(line).collect(),
        }
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
            let cells: Vec<String> = cells.collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&mut self.columns.iter().map(|(name, _)| name.as_str()));
        let rules = self
            .columns
            .iter()
            .map(|&(_, is_number)| if is_number { "--:" } else { "---" });
        text += &line(&mut rules.into_iter());
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// What a group is called.
fn name(group: &Group) -> &str {
    match group.task.as_str() {
        "" => "other",
        name => name,
    }
}

/// Columns that say which setting a row is.
fn setting_columns(report: &Report) -> Vec<Column> {
    let rows = &report.rows;
    let mut columns = vec![column("effort", false, |row| {
        row.effort.unwrap_or("own").to_owned()
    })];
    if rows.iter().any(|row| row.has_budget) {
        columns.push(column("budget", true, budget));
    }
    if rows.iter().any(|row| row.landing.is_some()) {
        columns.push(column("landing", true, |row| {
            row.landing
                .map_or_else(|| "off".to_owned(), |share| share.to_string())
        }));
    }
    if rows.iter().any(|row| row.early_exit != "off") {
        columns.push(column("early exit", false, |row| row.early_exit.to_owned()));
    }
    if rows.iter().any(|row| row.votes > 1) {
        columns.push(column("votes", true, |row| row.votes.to_string()));
    }
    columns
}

fn budget(row: &Row) -> String {
    match (row.has_budget, row.think_tokens, row.think_share) {
        (true, Some(tokens), Some(share)) => format!("{tokens} ({:.0} %)", share * 100.0),
        (true, Some(tokens), None) => tokens.to_string(),
        _ => "own".to_owned(),
    }
}

fn result_columns(report: &Report) -> Vec<Column> {
    let mut columns = vec![
        column("n", true, |row| row.n.to_string()),
        column("accuracy", true, |row| percent(row.accuracy)),
        column("95 %", true, |row| {
            format!("{:.0}–{:.0} %", 100.0 * row.ci95[0], 100.0 * row.ci95[1])
        }),
    ];
    if report.samples > 1 {
        let k = report
            .rows
            .first()
            .and_then(|row| row.pass_at_k.keys().next_back().copied());
        let k = k.unwrap_or(1);
        columns.push(column(&format!("pass@{k}"), true, move |row| {
            percent(row.pass_at_k[&k])
        }));
        columns.push(column(&format!("maj@{k}"), true, move |row| {
            percent(row.majority_at_k[&k])
        }));
    }
    columns.push(column("thinking tokens", true, |row| {
        format!("{:.0}", row.thinking_tokens_mean)
    }));
    columns.push(column("p50", true, |row| {
        format!("{:.0}", row.thinking_tokens_p50)
    }));
    columns.push(column("p95", true, |row| {
        format!("{:.0}", row.thinking_tokens_p95)
    }));
    if report.rows.iter().any(|row| row.probe_tokens_mean > 0.0) {
        columns.push(column("probe tokens", true, |row| {
            format!("{:.0}", row.probe_tokens_mean)
        }));
    }
    columns.push(column("s/answer", true, |row| {
        let n_decimals = if row.seconds_mean < 0.1 { 4 } else { 2 };
        format!("{:.n_decimals$}", row.seconds_mean)
    }));
    columns.push(column("thinking ended by", false, |row| {
        let ends = row.ended_by.iter().map(|(by, n)| format!("{by} {n}"));
        ends.collect::<Vec<_>>().join(", ")
    }));
    if report.rows.iter().any(|row| row.empty > 0) {
        columns.push(column("empty", true, |row| row.empty.to_string()));
    }
    if report.rows.iter().any(|row| row.wrong_format > 0) {
        columns.push(column("wrong format", true, |row| {
            row.wrong_format.to_string()
        }));
    }
    columns
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

impl Report {
    /// What stands below the tables: what was measured, and how.
    pub fn note(&self) -> String {
        let samples = match self.samples {
            1 => String::new(),
            n => format!(", {n} answers to each"),
        };
        let times = match self.concurrency {
            1 => "times with one request at a time".to_owned(),
            n => format!("times with {n} requests side by side"),
        };
        format!(
            "{} on {}: {} questions{samples}, seed {}; {times}.",
            self.model, self.task, self.questions, self.seed
        )
    }

    /// All of it in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = Table::settings(self).markdown();
        if let Some(groups) = Table::groups(self) {
            text = format!("{text}\n{}", groups.markdown());
        }
        format!("{text}\n{}\n", self.note())
    }
}
