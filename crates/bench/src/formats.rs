//! Forms for other programs: CSV, a line of JSON for each row, SQL.
//!
//! Every record says which machine and model it is of. Where a field says the same as one of
//! llama-bench, CSV and SQL call it what llama-bench does.

use serde_json::{Map, Value, json};

use crate::report::{Model, Report, Row};

/// The table of SQL.
const TABLE: &str = "ponder_bench";

/// Columns that hold no numbers.
const TEXTS: [&str; 16] = [
    "build_commit",
    "build_version",
    "build_profile",
    "isa",
    "cpu_info",
    "cpu_flags",
    "governor",
    "gpu_info",
    "os",
    "model_fingerprint",
    "model_type",
    "target",
    "model_filename",
    "effort",
    "start",
    "backends",
];

impl Report {
    /// A line for each row: machine, model, limits, and the row with all its runs.
    pub fn jsonl(&self) -> String {
        let line = |row: &Row| {
            let mut record = Map::new();
            record.insert("machine".to_owned(), json!(self.machine));
            record.insert("plan".to_owned(), json!(self.plan));
            let limits = self.limits.iter();
            let mut limits = limits.filter(|known| known.hold_for(row));
            record.insert("limits".to_owned(), json!(limits.next()));
            if let Value::Object(fields) = json!(row) {
                record.extend(fields);
            }
            record.insert("model".to_owned(), json!(self.model_of(row)));
            format!("{}\n", Value::Object(record))
        };
        self.rows.iter().map(line).collect()
    }

    /// A line of headings, and one for each row.
    pub fn csv(&self) -> String {
        let (names, records) = self.records();
        let line = |cells: Vec<String>| format!("{}\n", cells.join(","));
        let mut text = line(names.iter().map(|name| quoted(name)).collect());
        for record in records {
            text += &line(record.iter().map(|value| quoted(&cell(value))).collect());
        }
        text
    }

    /// Statements that make a table, if there is none, and put the rows into it.
    pub fn sql(&self) -> String {
        let (names, records) = self.records();
        let column = |name: &String| {
            let is_text = TEXTS.contains(&name.as_str());
            format!("  {name} {}", if is_text { "TEXT" } else { "REAL" })
        };
        let columns: Vec<String> = names.iter().map(column).collect();
        let columns = columns.join(",\n");
        let mut text = format!("CREATE TABLE IF NOT EXISTS {TABLE} (\n{columns}\n);\n");
        for record in &records {
            let values: Vec<String> = record.iter().map(literal).collect();
            let (names, values) = (names.join(", "), values.join(", "));
            text += &format!("INSERT INTO {TABLE} ({names}) VALUES ({values});\n");
        }
        text
    }

    /// Names, and as many values for each row; the same names for every report.
    fn records(&self) -> (Vec<String>, Vec<Vec<Value>>) {
        let record = |row: &Row| -> Vec<(String, Value)> {
            self.shared(row).into_iter().chain(flat(row)).collect()
        };
        let all: Vec<_> = self.rows.iter().map(record).collect();
        let names = all.first().map_or_else(Vec::new, |record| {
            record.iter().map(|(name, _)| name.clone()).collect()
        });
        let values = |record: Vec<(String, Value)>| record.into_iter().map(|field| field.1);
        let records = all.into_iter().map(|record| values(record).collect());
        (names, records.collect())
    }

    /// The machine and the model of a row.
    fn shared(&self, row: &Row) -> Vec<(String, Value)> {
        let machine = &self.machine;
        let (info, fingerprint) = match self.model_of(row) {
            Some(Model::Local { info, fingerprint }) => (Some(info), Some(fingerprint)),
            Some(Model::Remote { .. }) | None => (None, None),
        };
        let fields = [
            ("build_commit", json!(machine.build.commit)),
            ("build_version", json!(machine.build.version)),
            ("build_profile", json!(machine.build.profile)),
            ("isa", json!(machine.build.isa)),
            ("cpu_info", json!(machine.cpu)),
            ("cpu_flags", json!(machine.cpu_flags.join(" "))),
            ("cores", json!(machine.cores)),
            ("governor", json!(machine.governor)),
            ("gpu_info", json!(machine.gpu)),
            ("os", json!(machine.os)),
            ("model_fingerprint", json!(fingerprint)),
            ("model_type", json!(info.map(|info| &info.quantization))),
            ("model_size", json!(info.map(|info| info.file_bytes))),
            ("model_n_params", json!(info.map(|info| info.parameters))),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// The fields of a row, by llama-bench's names where it has any.
fn flat(row: &Row) -> Vec<(String, Value)> {
    let rename = |name: String| match name.as_str() {
        "model" => "model_filename".to_owned(),
        "prompt_tokens" => "n_prompt".to_owned(),
        "gen_tokens" => "n_gen".to_owned(),
        "depth" => "n_depth".to_owned(),
        "threads" => "n_threads".to_owned(),
        "device" => "backends".to_owned(),
        _ => name,
    };
    let fields = row.fields().into_iter();
    let mut fields: Vec<_> = fields.map(|(name, value)| (rename(name), value)).collect();
    for (name, value) in row.spreads() {
        match name.strip_suffix("_ci95") {
            Some(name) => {
                fields.push((format!("{name}_low"), value[0].clone()));
                fields.push((format!("{name}_high"), value[1].clone()));
            }
            None => fields.push((name, value)),
        }
    }
    fields
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// A value of SQL.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Number(number) => number.to_string(),
        value => format!("'{}'", cell(value).replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_line_are_quoted() {
        assert_eq!(quoted("a,b\"c"), "\"a,b\"\"c\"");
        assert_eq!(literal(&json!("o'clock")), "'o''clock'");
        assert_eq!(literal(&json!(1.5)), "1.5");
        assert_eq!(cell(&Value::Null), "");
    }
}
