//! Forms for other programs: CSV, a line of JSON for each row, SQL.
//!
//! Every record says which machine and model it is of. Where a field says the same as one of
//! llama-bench, CSV and SQL call it what llama-bench does.

use serde_json::{Map, Value, json};

use crate::report::{Model, Report, Row};

/// The table of SQL.
const TABLE: &str = "ponder_bench";

impl Report {
    /// A line for each row: machine, model, limits, and the row with all its runs.
    pub fn jsonl(&self) -> String {
        let line = |row: &Row| {
            let mut record = Map::new();
            record.insert("machine".to_owned(), json!(self.machine));
            record.insert("model".to_owned(), json!(self.model));
            record.insert("plan".to_owned(), json!(self.plan));
            if let Value::Object(fields) = json!(row) {
                record.extend(fields);
            }
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
        let column = |(i, name): (usize, &String)| {
            let is_number = records.iter().any(|record| record[i].is_number());
            format!("  {name} {}", if is_number { "REAL" } else { "TEXT" })
        };
        let columns: Vec<String> = names.iter().enumerate().map(column).collect();
        let columns = columns.join(",\n");
        let mut text = format!("CREATE TABLE IF NOT EXISTS {TABLE} (\n{columns}\n);\n");
        for record in &records {
            let values: Vec<String> = record.iter().map(literal).collect();
            let (names, values) = (names.join(", "), values.join(", "));
            text += &format!("INSERT INTO {TABLE} ({names}) VALUES ({values});\n");
        }
        text
    }

    /// Names, and as many values for each row. What a row lacks is null.
    fn records(&self) -> (Vec<String>, Vec<Vec<Value>>) {
        let shared = self.shared();
        let all: Vec<Vec<(String, Value)>> = self
            .rows
            .iter()
            .map(|row| shared.iter().cloned().chain(flat(row)).collect())
            .collect();
        let mut names: Vec<String> = Vec::new();
        for (name, _) in all.iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let value = |record: &Vec<(String, Value)>, name: &String| {
            let found = record.iter().find(|(other, _)| other == name);
            found.map_or(Value::Null, |(_, value)| value.clone())
        };
        let records = all
            .iter()
            .map(|record| names.iter().map(|name| value(record, name)).collect());
        let records = records.collect();
        (names, records)
    }

    fn shared(&self) -> Vec<(String, Value)> {
        let machine = &self.machine;
        let (info, fingerprint) = match &self.model {
            Model::Local { info, fingerprint } => (Some(info), Some(fingerprint)),
            Model::Remote { .. } => (None, None),
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
            ("model_filename", json!(self.model.name())),
            ("model_fingerprint", json!(fingerprint)),
            ("model_type", json!(info.map(|info| &info.quantization))),
            ("model_size", json!(info.map(|info| info.file_bytes))),
            ("model_n_params", json!(info.map(|info| info.parameters))),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// The fields of a row, intervals as two, by llama-bench's names where it has any.
fn flat(row: &Row) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for (name, value) in row.fields() {
        let name = match name.as_str() {
            "prompt_tokens" => "n_prompt".to_owned(),
            "gen_tokens" => "n_gen".to_owned(),
            "depth" => "n_depth".to_owned(),
            "threads" => "n_threads".to_owned(),
            "device" => "backends".to_owned(),
            _ => name,
        };
        match value {
            Value::Array(ends) => {
                for (end, value) in ["low", "high"].into_iter().zip(ends) {
                    fields.push((format!("{name}_{end}"), value));
                }
            }
            value => fields.push((name, value)),
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
