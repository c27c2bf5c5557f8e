//! One bar for every file that is downloaded.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use ponder_engine::store::Progress as Step;

use super::clean;
use super::progress::{bytes_style, spinner_style};

/// The bars of one download, on standard error.
pub(crate) struct Downloads {
    bars: MultiProgress,
    files: HashMap<String, ProgressBar>,
    /// What is going on besides the files: waits and retries.
    status: ProgressBar,
}

impl Downloads {
    /// Bars where someone watches, else nothing.
    pub(crate) fn new(is_wanted: bool) -> Self {
        let bars = MultiProgress::with_draw_target(match is_wanted {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let status = bars.add(ProgressBar::new_spinner().with_style(spinner_style()));
        status.set_message("asking the hub");
        status.enable_steady_tick(Duration::from_millis(100));
        Self {
            bars,
            files: HashMap::new(),
            status,
        }
    }

    /// Shows one step of a download.
    pub(crate) fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Plan { files, bytes } => {
                let size = super::bytes(bytes);
                self.status
                    .set_message(format!("{files} files, {size} to download"));
            }
            Step::File { name, done, total } => self.file(name, done, total),
            Step::Waiting { name } => {
                let name = clean(name);
                self.status
                    .set_message(format!("another program downloads {name}, waiting"));
            }
            Step::Retry { name, reason, wait } => {
                let (name, reason, wait) = (clean(name), clean(reason), wait.as_secs_f32());
                self.status
                    .set_message(format!("{name}: {reason}; again in {wait:.0} s"));
            }
        }
    }

    fn file(&mut self, name: &str, done: u64, total: u64) {
        let bars = &self.bars;
        let bar = self.files.entry(name.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::new(total).with_style(bytes_style());
            // What an earlier, interrupted download left does not count as speed.
            let bar = bars.add(
                bar.with_position(done)
                    .with_message(clean(name).into_owned()),
            );
            bar.reset_eta();
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish();
        }
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.status.finish_and_clear();
    }
}
