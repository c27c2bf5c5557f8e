//! A report as tables, for a terminal or as Markdown.

use std::fmt::Write as _;

use crate::report::{DEFINITIONS, Report, Row};

/// A table: columns with a heading, and rows of as many cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Headings, and whether what stands below is a number.
    pub columns: Vec<(String, bool)>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// A column: its heading, whether it holds numbers, and its cell in a row.
type Column = (&'static str, bool, Box<dyn Fn(&Row) -> String>);

impl Table {
    /// A line for each row. Columns that would say nothing are left out.
    pub fn rows(report: &Report) -> Self {
        let mut columns = case_columns(report);
        columns.extend([
            number("TTFT ms", |row| median(row, "ttft_ms")),
            number("TTFO ms", |row| median(row, "ttfo_ms")),
            number("TPOT ms", |row| median(row, "tpot_ms")),
            number("prefill t/s", |row| plain(row, "prefill_tps")),
            number("decode t/s", |row| plain(row, "decode_tps")),
            number("answer ms", |row| plain(row, "latency_ms")),
        ]);
        let any = |has: fn(&Row) -> bool| report.rows.iter().any(has);
        if any(|row| row.case.concurrency > 1) {
            columns.push(number("total t/s", |row| optional(row.total_tps)));
        }
        if any(|row| row.spread("start_ms").is_some()) {
            columns.push(number("start ms", |row| median(row, "start_ms")));
        }
        columns.push(number("load ms", |row| optional(row.load_ms)));
        columns.push(number("RSS MB", |row| optional(row.rss_mb)));
        if any(|row| row.joules.is_some()) {
            columns.push(number("J", |row| optional(row.joules)));
        }
        if any(|row| row.round_trip_ms.is_some()) {
            columns.push(number("round trip ms", |row| optional(row.round_trip_ms)));
        }
        if any(|row| row.share.is_some()) {
            columns.push(number("of memory", |row| {
                percent(row.share.and_then(|share| share.memory))
            }));
            columns.push(number("of compute", |row| {
                percent(row.share.map(|share| share.compute))
            }));
        }
        if any(|row| row.n_failed() > 0) {
            columns.push(number("failed", |row| row.n_failed().to_string()));
        }
        Self::of(columns, report)
    }

    /// The parts of the time to the first token, and the gaps between tokens.
    pub fn parts(report: &Report) -> Option<Self> {
        let has_parts = |row: &Row| row.spread("tokenize_ms").is_some();
        if !report.rows.iter().any(has_parts) {
            return None;
        }
        let mut columns = case_columns(report);
        columns.extend([
            number("tokenize ms", |row| plain(row, "tokenize_ms")),
            number("queue ms", |row| plain(row, "queue_ms")),
            number("prefill ms", |row| plain(row, "prefill_ms")),
            number("sample ms", |row| plain(row, "sample_ms")),
            number("detokenize ms", |row| plain(row, "detokenize_ms")),
            number("emit ms", |row| plain(row, "emit_ms")),
            number("ITL p50", |row| plain(row, "itl_ms")),
            number("p90", |row| itl(row, |spread| spread.p90)),
            number("p99", |row| itl(row, |spread| spread.p99)),
            number("max", |row| itl(row, |spread| spread.max)),
        ]);
        Some(Self::of(columns, report))
    }

    /// Each target by the first one, case by case; `None` where there is one only.
    pub fn ratios(report: &Report) -> Option<Self> {
        let first = &report.rows.first()?.target;
        let others = report.rows.iter().filter(|row| row.target != *first);
        let lines: Vec<_> = others
            .filter_map(|row| {
                let same = |base: &&Row| {
                    base.target == *first && base.case == row.case && base.start == row.start
                };
                let base = report.rows.iter().find(same)?;
                let mut cells = vec![row.target.clone(), row.case.to_string()];
                for metric in ["ttft_ms", "ttfo_ms", "tpot_ms", "latency_ms"] {
                    let both = row.spread(metric).zip(base.spread(metric));
                    cells.push(both.map_or_else(
                        || "–".to_owned(),
                        |(row, base)| format!("{:.2}", row.p50 / base.p50),
                    ));
                }
                Some(cells)
            })
            .collect();
        if lines.is_empty() {
            return None;
        }
        let heading = |name: &str, is_number| (name.to_owned(), is_number);
        Some(Self {
            columns: vec![
                (format!("by {first}"), false),
                heading("case", false),
                heading("TTFT", true),
                heading("TTFO", true),
                heading("TPOT", true),
                heading("answer", true),
            ],
            rows: lines,
        })
    }

    fn of(columns: Vec<Column>, report: &Report) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, is_number, _)| ((*name).to_owned(), *is_number))
                .collect(),
            rows: report
                .rows
                .iter()
                .map(|row| columns.iter().map(|(.., cell)| cell(row)).collect())
                .collect(),
        }
    }

    /// The table in Markdown.
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

fn number(name: &'static str, cell: impl Fn(&Row) -> String + 'static) -> Column {
    (name, true, Box::new(cell))
}

/// Columns that say which case a row is.
fn case_columns(report: &Report) -> Vec<Column> {
    let mut columns = Vec::new();
    let any = |has: fn(&Row) -> bool| report.rows.iter().any(has);
    if any(|row| row.target != "local") {
        let cell: Box<dyn Fn(&Row) -> String> = Box::new(|row| row.target.clone());
        columns.push(("target", false, cell));
    }
    columns.push(number("prompt", |row| row.case.prompt_tokens.to_string()));
    if any(|row| row.case.depth > 0) {
        columns.push(number("depth", |row| row.case.depth.to_string()));
    }
    if any(|row| row.case.concurrency > 1) {
        columns.push(number("at a time", |row| row.case.concurrency.to_string()));
    }
    if any(|row| row.rate.is_some()) {
        columns.push(number("per second", |row| optional(row.rate)));
    }
    if any(|row| row.case.effort.is_some()) {
        let cell: Box<dyn Fn(&Row) -> String> = Box::new(|row| {
            row.case
                .effort
                .map_or("own", |effort| effort.name())
                .to_owned()
        });
        columns.push(("effort", false, cell));
    }
    let cell: Box<dyn Fn(&Row) -> String> = Box::new(|row| row.start.to_string());
    columns.push(("start", false, cell));
    columns
}

/// A median with half of its interval.
fn median(row: &Row, metric: &str) -> String {
    row.spread(metric).map_or_else(
        || "–".to_owned(),
        |spread| {
            let half = (spread.p50_ci95[1] - spread.p50_ci95[0]) / 2.0;
            format!("{} ±{}", short(spread.p50), short(half))
        },
    )
}

fn plain(row: &Row, metric: &str) -> String {
    optional(row.spread(metric).map(|spread| spread.p50))
}

fn itl(row: &Row, of: fn(&crate::stats::Spread) -> f64) -> String {
    optional(row.spread("itl_ms").as_ref().map(of))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}

/// Three digits that count.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        small if small >= 0.9995 || small == 0.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

impl Report {
    /// What was measured, where and how: a line each.
    pub fn headline(&self) -> String {
        let machine = &self.machine;
        let build = &machine.build;
        let governor = machine.governor.as_deref().unwrap_or("unknown");
        let plan = &self.plan;
        let mut text = String::new();
        let model = match &self.model {
            crate::report::Model::Local { info, fingerprint } => format!(
                "{} ({}, {:.0} MB, {fingerprint:.12})",
                info.name,
                info.quantization,
                info.file_bytes as f64 / 1e6
            ),
            crate::report::Model::Remote { name } => name.clone(),
        };
        let _ = writeln!(
            text,
            "{model}; {} tokens generated, {} runs after {} to warm up",
            plan.gen_tokens, plan.runs, plan.warmup
        );
        let threads = self.rows.iter().find_map(|row| row.threads);
        let threads = threads.map_or_else(String::new, |n| format!(", {n} threads used"));
        let _ = writeln!(
            text,
            "{}, {} cores{threads}, {}, governor {governor}; ponder {} ({}, {})",
            machine.cpu, machine.cores, machine.os, build.version, build.profile, build.isa
        );
        if let Some(limits) = &self.limits {
            let _ = writeln!(
                text,
                "limits with {} threads: {:.1} GB/s read, {:.0} GOP/s of bytes, {:.0} GFLOP/s of float32, {:.0} of bfloat16",
                limits.threads,
                limits.read_gb_s,
                limits.int8_gop_s,
                limits.f32_gflop_s,
                limits.bf16_gflop_s
            );
        }
        text
    }

    /// What figures mean, a line each.
    pub fn definitions(&self) -> String {
        let line = |(name, text): &(&str, &str)| format!("{name}: {text}.\n");
        DEFINITIONS.iter().map(line).collect()
    }

    /// All tables that have something to say.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![Table::rows(self)];
        tables.extend(Table::parts(self));
        tables.extend(Table::ratios(self));
        tables.extend(crate::vs::table(&self.pairs));
        tables
    }

    /// All of it in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = self.headline().replace('\n', "  \n");
        for table in self.tables() {
            text += &format!("\n{}", table.markdown());
        }
        for remark in self.remarks() {
            text += &format!("\nNote: {remark}.\n");
        }
        format!("{text}\n{}", self.definitions().replace('\n', "  \n"))
    }
}
