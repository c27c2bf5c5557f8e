//! A report as tables, for a terminal or as Markdown.

use std::fmt::Write as _;

use ponder_figures::Table;
use ponder_figures::picture::short_name;

use crate::definitions::DEFINITIONS;
use crate::report::{Model, Report, Row, Varies};

type Column = ponder_figures::Column<Row>;

/// A line for each row. Columns that would say nothing are left out.
fn rows(report: &Report) -> Table {
    let mut columns = case_columns(report);
    columns.extend([
        Column::numbers("TTFT ms", |row| median(row, "ttft_ms")),
        Column::numbers("TTFO ms", |row| median(row, "ttfo_ms")),
        Column::numbers("TPOT ms", |row| median(row, "tpot_ms")),
        Column::numbers("prefill t/s", |row| plain(row, "prefill_tps")),
        Column::numbers("decode t/s", |row| plain(row, "decode_tps")),
        Column::numbers("answer ms", |row| plain(row, "latency_ms")),
    ]);
    let any = |has: fn(&Row) -> bool| report.rows.iter().any(has);
    if any(|row| row.case.concurrency > 1) {
        columns.push(Column::numbers("total t/s", |row| optional(row.total_tps)));
    }
    if any(|row| row.spread("start_ms").is_some()) {
        columns.push(Column::numbers("start ms", |row| median(row, "start_ms")));
    }
    columns.push(Column::numbers("load ms", |row| optional(row.load_ms)));
    columns.push(Column::numbers("RSS MB", |row| optional(row.rss_mb)));
    if any(|row| row.device_mb.is_some()) {
        columns.push(Column::numbers("device MB", |row| optional(row.device_mb)));
    }
    for (heading, metric, whole) in [
        ("device TPOT ms", "device_tpot_ms", "tpot_ms"),
        ("device prefill ms", "device_prefill_ms", "prefill_ms"),
    ] {
        if report.rows.iter().any(|row| row.spread(metric).is_some()) {
            let part = move |row: &Row| part_of(row, metric, whole);
            columns.push(Column::numbers(heading, part));
        }
    }
    if any(|row| row.joules.is_some()) {
        columns.push(Column::numbers("J", |row| optional(row.joules)));
    }
    if any(|row| row.round_trip_ms.is_some()) {
        columns.push(Column::numbers("round trip ms", |row| {
            optional(row.round_trip_ms)
        }));
    }
    if any(|row| row.share.is_some()) {
        columns.push(Column::numbers("of memory", |row| {
            percent(row.share.and_then(|share| share.memory))
        }));
        columns.push(Column::numbers("of compute", |row| {
            percent(row.share.and_then(|share| share.compute))
        }));
    }
    if any(|row| row.n_failed() > 0) {
        columns.push(Column::numbers("failed", |row| row.n_failed().to_string()));
    }
    Table::of(&columns, &report.rows)
}

/// The parts of the time to the first token, and the gaps between tokens.
fn parts(report: &Report) -> Option<Table> {
    let has_parts = |row: &Row| row.spread("tokenize_ms").is_some();
    if !report.rows.iter().any(has_parts) {
        return None;
    }
    let mut columns = case_columns(report);
    columns.extend([
        Column::numbers("tokenize ms", |row| plain(row, "tokenize_ms")),
        Column::numbers("queue ms", |row| plain(row, "queue_ms")),
        Column::numbers("prefill ms", |row| plain(row, "prefill_ms")),
        Column::numbers("sample ms", |row| plain(row, "sample_ms")),
        Column::numbers("detokenize ms", |row| plain(row, "detokenize_ms")),
        Column::numbers("emit ms", |row| plain(row, "emit_ms")),
        Column::numbers("ITL p50", |row| plain(row, "itl_ms")),
        Column::numbers("p90", |row| itl(row, |spread| spread.p90)),
        Column::numbers("p99", |row| itl(row, |spread| spread.p99)),
        Column::numbers("max", |row| itl(row, |spread| spread.max)),
    ]);
    Some(Table::of(&columns, &report.rows))
}

/// Each target, model and number of threads by the first, case by case; `None` where there is one only.
fn ratios(report: &Report) -> Option<Table> {
    let varies = Varies::over(&report.rows);
    let first = varies.setup(report.rows.first()?);
    let line = |row: &Row| {
        let is_base = |base: &&Row| {
            varies.setup(base) == first && base.case == row.case && base.start == row.start
        };
        let setup = varies.setup(row);
        let base = report.rows.iter().find(is_base)?;
        let mut cells = vec![setup.clone(), row.case.to_string(), row.start.to_string()];
        for metric in ["ttft_ms", "ttfo_ms", "tpot_ms", "latency_ms"] {
            let both = row.spread(metric).zip(base.spread(metric));
            let both = both.filter(|(_, base)| base.p50 > 0.0);
            let ratio = both.map(|(row, base)| format!("{:.2}", row.p50 / base.p50));
            cells.push(ratio.unwrap_or_else(none));
        }
        (setup != first).then_some(cells)
    };
    let rows: Vec<_> = report.rows.iter().filter_map(line).collect();
    let heading = |name: &str, is_number| (name.to_owned(), is_number);
    (!rows.is_empty()).then(|| Table {
        columns: vec![
            (format!("by {first}"), false),
            heading("case", false),
            heading("start", false),
            heading("TTFT", true),
            heading("TTFO", true),
            heading("TPOT", true),
            heading("answer", true),
        ],
        rows,
    })
}

/// Columns that say which case a row is.
fn case_columns(report: &Report) -> Vec<Column> {
    let mut columns = Vec::new();
    let any = |has: fn(&Row) -> bool| report.rows.iter().any(has);
    let varies = Varies::over(&report.rows);
    if varies.model {
        let name = |row: &Row| short_name(&row.model).to_owned();
        columns.push(Column::words("model", name));
    }
    if varies.threads {
        let threads = |row: &Row| row.threads.map_or_else(none, |n| n.to_string());
        columns.push(Column::numbers("threads", threads));
    }
    if varies.target {
        columns.push(Column::words("target", |row| row.target.clone()));
    }
    columns.push(Column::numbers("prompt", |row| {
        row.case.prompt_tokens.to_string()
    }));
    if any(|row| row.case.depth > 0) {
        columns.push(Column::numbers("depth", |row| row.case.depth.to_string()));
    }
    if any(|row| row.case.concurrency > 1) {
        columns.push(Column::numbers("at a time", |row| {
            row.case.concurrency.to_string()
        }));
    }
    if any(|row| row.rate.is_some()) {
        columns.push(Column::numbers("per second", |row| optional(row.rate)));
    }
    if any(|row| row.case.effort.is_some()) {
        columns.push(Column::words("effort", |row| {
            let effort = row.case.effort;
            effort.map_or("own", |effort| effort.name()).to_owned()
        }));
    }
    columns.push(Column::words("start", |row| row.start.to_string()));
    columns
}

/// A median with half of its interval.
fn median(row: &Row, metric: &str) -> String {
    row.spread(metric).map_or_else(none, |spread| {
        let half = (spread.p50_ci95[1] - spread.p50_ci95[0]) / 2.0;
        format!("{} ±{}", short(spread.p50), short(half))
    })
}

/// A median, and its share of another.
fn part_of(row: &Row, metric: &str, whole: &str) -> String {
    let p50 = |metric| row.spread(metric).map(|spread| spread.p50);
    let share = |part| Some(part / p50(whole).filter(|&whole| whole > 0.0)?);
    p50(metric).map_or_else(none, |part| match share(part) {
        Some(share) => format!("{} ({:.0} %)", short(part), 100.0 * share),
        None => short(part),
    })
}

fn plain(row: &Row, metric: &str) -> String {
    optional(row.spread(metric).map(|spread| spread.p50))
}

fn itl(row: &Row, of: fn(&crate::stats::Spread) -> f64) -> String {
    optional(row.spread("itl_ms").as_ref().map(of))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(none, short)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(none, |share| format!("{:.0} %", 100.0 * share))
}

fn none() -> String {
    "–".to_owned()
}

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
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
        for model in &self.models {
            let _ = match model {
                Model::Local { info, fingerprint } => writeln!(
                    text,
                    "{} ({}, {:.0} MB, {fingerprint:.12})",
                    info.name,
                    info.quantization,
                    info.file_bytes as f64 / 1e6
                ),
                Model::Remote { name } => writeln!(text, "{name}"),
            };
        }
        let _ = writeln!(
            text,
            "{} tokens generated, {} runs after {} to warm up",
            plan.gen_tokens, plan.runs, plan.warmup
        );
        let mut threads: Vec<usize> = self.rows.iter().filter_map(|row| row.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        let threads: Vec<String> = threads.iter().map(usize::to_string).collect();
        let threads = match threads.is_empty() {
            true => String::new(),
            false => format!(" ({} used)", threads.join(", ")),
        };
        let _ = writeln!(
            text,
            "{}, {} cores{threads}, {}, governor {governor}; ponder {} ({}, {})",
            machine.cpu, machine.cores, machine.os, build.version, build.profile, build.isa
        );
        if let Some(gpu) = &machine.gpu {
            let driver = machine.gpu_driver.as_deref().unwrap_or("unknown");
            let _ = writeln!(text, "{gpu}, driver of CUDA {driver}");
        }
        for limits in &self.limits {
            let _ = writeln!(text, "{limits}");
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
        let mut tables = vec![rows(self)];
        tables.extend(parts(self));
        tables.extend(ratios(self));
        tables.extend(crate::pairs::tables(&self.pairs));
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
