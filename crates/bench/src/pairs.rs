//! Runs that alternated with a peer's: A B A B, and the ratio of each pair.

use ponder_figures::Table;
use serde::Serialize;

use crate::Case;
use crate::peer::Speeds;
use crate::sample::Sample;
use crate::stats::Spread;
use crate::table::short;

/// One pair of runs.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The model.
    pub model: String,
    /// The threads of both.
    pub threads: usize,
    /// The case.
    pub case: Case,
    /// The number of the pair.
    pub run: usize,
    /// Tokens per second here: prefill, decode.
    pub ours: [Option<f64>; 2],
    /// The peer's.
    pub theirs: [Option<f64>; 2],
}

impl Pair {
    /// Ours by theirs.
    pub fn ratios(&self) -> [Option<f64>; 2] {
        [0, 1].map(|i| Some(self.ours[i]? / self.theirs[i]?))
    }

    fn is_of_the_same_row(&self, other: &Self) -> bool {
        self.model == other.model && self.threads == other.threads && self.case == other.case
    }

    /// The columns that say which row it is of.
    fn cells(&self) -> Vec<String> {
        vec![
            self.model.clone(),
            self.threads.to_string(),
            self.case.to_string(),
        ]
    }
}

/// The tokens per second of the request of a run; none where it failed.
pub(crate) fn speeds(samples: &[Sample], run: usize) -> Speeds {
    let sample = samples.iter().find(|sample| sample.run == run);
    match sample.and_then(Sample::figures) {
        Some(figures) => [figures.prefill_tps, figures.decode_tps],
        None => [None; 2],
    }
}

/// The medians of each row, and below them every pair.
pub(crate) fn tables(pairs: &[Pair]) -> Vec<Table> {
    let rows = || pairs.chunk_by(Pair::is_of_the_same_row);
    let table = |of_a_pair: &[(&str, bool)], rows: Vec<Vec<String>>| {
        let mut columns = vec![("model", false), ("threads", true), ("case", false)];
        columns.extend(of_a_pair);
        for speed in ["prefill t/s", "decode t/s"] {
            columns.extend([(speed, true), ("peer's", true), ("ratio", true)]);
        }
        let columns = columns.into_iter();
        Table {
            columns: columns
                .map(|(name, is_number)| (name.to_owned(), is_number))
                .collect(),
            rows,
        }
    };
    match pairs.is_empty() {
        true => Vec::new(),
        false => vec![
            table(&[], rows().map(medians).collect()),
            table(&[("pair", true)], pairs.iter().map(one).collect()),
        ],
    }
}

fn medians(pairs: &[Pair]) -> Vec<String> {
    let spread = |of: &dyn Fn(&Pair) -> Option<f64>| {
        Spread::of(&pairs.iter().filter_map(of).collect::<Vec<_>>())
    };
    let mut cells = pairs[0].cells();
    for i in [0, 1] {
        for speed in [spread(&|pair| pair.ours[i]), spread(&|pair| pair.theirs[i])] {
            cells.push(speed.map_or_else(none, |speed| short(speed.p50)));
        }
        let ratio = spread(&|pair| pair.ratios()[i]);
        cells.push(ratio.map_or_else(none, |ratio| {
            let half = (ratio.p50_ci95[1] - ratio.p50_ci95[0]) / 2.0;
            format!("{:.2} ±{half:.2}", ratio.p50)
        }));
    }
    cells
}

fn one(pair: &Pair) -> Vec<String> {
    let mut cells = pair.cells();
    cells.push((pair.run + 1).to_string());
    for i in [0, 1] {
        cells.push(pair.ours[i].map_or_else(none, short));
        cells.push(pair.theirs[i].map_or_else(none, short));
        let ratio = pair.ratios()[i];
        cells.push(ratio.map_or_else(none, |ratio| format!("{ratio:.3}")));
    }
    cells
}

fn none() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_pairs_and_their_median() {
        let case = Case {
            prompt_tokens: 8,
            depth: 0,
            concurrency: 1,
            effort: None,
        };
        let pair = |threads, run, theirs| Pair {
            model: "m".to_owned(),
            threads,
            case,
            run,
            ours: [Some(100.0), Some(30.0)],
            theirs: [Some(theirs), None],
        };
        let pairs = [
            pair(1, 0, 50.0),
            pair(1, 1, 200.0),
            pair(1, 2, 80.0),
            pair(2, 0, 25.0),
        ];
        let tables = tables(&pairs);
        let column = |table: usize, i: usize| -> Vec<&str> {
            let rows = tables[table].rows.iter();
            rows.map(|row| row[i].as_str()).collect()
        };
        assert_eq!(column(0, 1), ["1", "2"]);
        assert_eq!(column(0, 4), ["80.0", "25.0"]);
        assert_eq!(column(0, 5), ["1.25 ±0.75", "4.00 ±0.00"]);
        assert_eq!(column(0, 8), ["–", "–"]);
        assert_eq!(column(1, 6), ["2.000", "0.500", "1.250", "4.000"]);
        assert!(super::tables(&[]).is_empty());
    }
}
