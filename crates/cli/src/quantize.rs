//! `ponder quantize`: a model as a GGUF file with smaller weights.

use std::io;

use ponder_engine::quantize::{self, QuantizeProgress, QuantizeSummary};

use crate::args::QuantizeJob;
use crate::error::CliError;
use crate::inspect::write_out;
use crate::render::progress::Progress;
use crate::render::table::pairs;
use crate::render::{Downloads, bytes, clean, count, print_json};
use crate::terminal::Terminal;

/// Writes the file and says what it is.
pub(crate) fn quantize(job: &QuantizeJob, json: bool, terminal: Terminal) -> Result<(), CliError> {
    let mut view = View {
        is_wanted: terminal.stderr,
        downloads: None,
        weights: None,
    };
    let summary = quantize::quantize(
        &job.input,
        &job.output,
        job.target,
        &job.options,
        &mut |step| view.step(&step),
    )?;
    drop(view);
    if json {
        return Ok(print_json(&mut io::stdout(), &summary)?);
    }
    write_out(&pairs(&facts(&summary), terminal.out))
}

/// What is on standard error while the file is made: downloads first, then one line.
struct View {
    is_wanted: bool,
    downloads: Option<Downloads>,
    weights: Option<Progress>,
}

impl View {
    fn step(&mut self, step: &QuantizeProgress<'_>) {
        let is_wanted = self.is_wanted;
        if let QuantizeProgress::Download(step) = step {
            let downloads = self
                .downloads
                .get_or_insert_with(|| Downloads::new(is_wanted));
            return downloads.step(step);
        }
        self.downloads = None;
        let line = self
            .weights
            .get_or_insert_with(|| Progress::spinner(is_wanted, "converting the vocabulary"));
        if let QuantizeProgress::Weights { done, total } = *step {
            line.bytes("writing", done, total);
        }
    }
}

fn facts(summary: &QuantizeSummary) -> Vec<(&'static str, String)> {
    let kinds = summary.tensors.iter();
    let tensors: Vec<_> = kinds.map(|(ty, n)| format!("{n} {ty}")).collect();
    vec![
        (
            "file",
            clean(&summary.path.display().to_string()).into_owned(),
        ),
        ("parameters", count(summary.parameters)),
        ("type", summary.target.to_owned()),
        ("tensors", tensors.join(", ")),
        (
            "size",
            format!(
                "{} from {}",
                bytes(summary.file_bytes),
                bytes(summary.source_bytes)
            ),
        ),
        ("bits per weight", format!("{:.2}", summary.bits_per_weight)),
        ("time", format!("{:.1} s", summary.seconds)),
    ]
}
