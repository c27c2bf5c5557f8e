//! A report as tables, for a terminal or as Markdown.

use ponder_figures::Table;

use crate::{Group, Report, Row};

type Column = ponder_figures::Column<Row>;

impl Report {
    /// All tables that have something to say.
    pub fn tables(&self) -> Vec<Table> {
        [settings(self)].into_iter().chain(groups(self)).collect()
    }
}

/// A line for each setting. Columns that would say the same everywhere, and nothing at that, are left
/// out.
pub(crate) fn settings(report: &Report) -> Table {
    let mut columns = setting_columns(report);
    columns.extend(result_columns(report));
    Table::of(&columns, &report.rows)
}

/// Accuracy by group of questions and by setting, those of which there are more below each other;
/// `None` where the task has one group only.
fn groups(report: &Report) -> Option<Table> {
    let groups = &report.rows.first()?.groups;
    match groups.len() {
        0 | 1 => None,
        n if n < report.rows.len() => Some(groups_across(report, groups)),
        _ => Some(groups_down(report, groups)),
    }
}

fn groups_down(report: &Report, groups: &[Group]) -> Table {
    let settings = setting_columns(report);
    let heading = |row| -> String {
        let cells: Vec<String> = settings.iter().map(|column| column.cell(row)).collect();
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
    Table {
        rows: groups.iter().enumerate().map(line).collect(),
        columns,
    }
}

fn groups_across(report: &Report, groups: &[Group]) -> Table {
    let settings = setting_columns(report);
    let headings = settings.iter().map(Column::heading);
    let line = |row| {
        let cells = settings.iter().map(|column| column.cell(row));
        let shares = row.groups.iter().map(|group| percent(group.accuracy));
        cells.chain(shares).collect()
    };
    let names = groups
        .iter()
        .map(|group| (format!("{} ({})", name(group), group.n), true));
    Table {
        columns: headings.chain(names).collect(),
        rows: report.rows.iter().map(line).collect(),
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
    let mut columns = vec![Column::words("effort", |row| {
        row.effort.unwrap_or("own").to_owned()
    })];
    if rows.iter().any(|row| row.has_budget) {
        columns.push(Column::numbers("budget", budget));
    }
    if rows.iter().any(|row| row.landing.is_some()) {
        columns.push(Column::numbers("landing", |row| {
            row.landing
                .map_or_else(|| "off".to_owned(), |share| share.to_string())
        }));
    }
    if rows.iter().any(|row| row.early_exit != "off") {
        columns.push(Column::words("early exit", |row| row.early_exit.to_owned()));
    }
    if rows.iter().any(|row| row.votes > 1) {
        columns.push(Column::numbers("votes", |row| row.votes.to_string()));
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
        Column::numbers("n", |row| row.n.to_string()),
        Column::numbers("accuracy", |row| percent(row.accuracy)),
        Column::numbers("95 %", |row| {
            format!("{:.0}–{:.0} %", 100.0 * row.ci95[0], 100.0 * row.ci95[1])
        }),
    ];
    if report.samples > 1 {
        let k = report
            .rows
            .first()
            .and_then(|row| row.pass_at_k.keys().next_back().copied());
        let k = k.unwrap_or(1);
        columns.push(Column::numbers(format!("pass@{k}"), move |row| {
            percent(row.pass_at_k[&k])
        }));
        columns.push(Column::numbers(format!("maj@{k}"), move |row| {
            percent(row.majority_at_k[&k])
        }));
    }
    columns.push(Column::numbers("thinking tokens", |row| {
        format!("{:.0}", row.thinking_tokens_mean)
    }));
    columns.push(Column::numbers("p50", |row| {
        format!("{:.0}", row.thinking_tokens_p50)
    }));
    columns.push(Column::numbers("p95", |row| {
        format!("{:.0}", row.thinking_tokens_p95)
    }));
    if report.rows.iter().any(|row| row.probe_tokens_mean > 0.0) {
        columns.push(Column::numbers("probe tokens", |row| {
            format!("{:.0}", row.probe_tokens_mean)
        }));
    }
    columns.push(Column::numbers("s/answer", |row| {
        let n_decimals = if row.seconds_mean < 0.1 { 4 } else { 2 };
        format!("{:.n_decimals$}", row.seconds_mean)
    }));
    columns.push(Column::words("thinking ended by", |row| {
        let ends = row.ended_by.iter().map(|(by, n)| format!("{by} {n}"));
        ends.collect::<Vec<_>>().join(", ")
    }));
    if report.rows.iter().any(|row| row.empty > 0) {
        columns.push(Column::numbers("empty", |row| row.empty.to_string()));
    }
    if report.rows.iter().any(|row| row.wrong_format > 0) {
        columns.push(Column::numbers("wrong format", |row| {
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
        let tables: Vec<String> = self.tables().iter().map(Table::markdown).collect();
        format!("{}\n{}\n", tables.join("\n"), self.note())
    }
}
