//! The arguments of `ponder eval`: lists of what is compared.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use ponder_engine::{EarlyExit, Weighing};
use ponder_eval::{Budget, Grid, Job as EvalSettings};

use super::config::ConfigFile;
use super::high::ModelChoice;
use super::low::{GlobalArgs, ModelArgs, SamplingArgs};
use super::values::{EffortLevel, VoteBy, at_least_one, landing, svg_file};
use crate::error::CliError;

/// Questions that `--task default` asks where no limit is given.
const DEFAULT_LIMIT: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Questions: a file of JSON lines {"question", "answer", "kind", "task", "system"}, or `default`:
    /// arithmetic, word problems, comparisons, sorting, letter counting and logic, made from the seed
    #[arg(long, value_name = "FILE.jsonl|default", value_hint = ValueHint::FilePath)]
    pub(crate) task: String,
    /// Ask N questions only; of a file, those that the seed draws (default: all; of `default`: 100)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// Print the tables in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Also draw accuracy per level, and against thinking tokens
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath, value_parser = svg_file)]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) grid: GridArgs,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// What is compared: every combination of these lists is a row.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is compared, in lists with commas")]
pub(crate) struct GridArgs {
    /// How hard the model thinks (default: the configuration file's level, or the model's own way)
    #[arg(long, value_enum, value_name = "LEVEL,…", value_delimiter = ',')]
    pub(crate) effort: Vec<EffortLevel>,
    /// Let K answers vote (default: as the level says, usually 1)
    #[arg(long, value_name = "K,…", value_delimiter = ',', value_parser = at_least_one)]
    pub(crate) votes: Vec<usize>,
    /// The most tokens of thinking: a number, `own` for what the level says, or a share like 50% of
    /// what the same level takes on the mean with `own`, which is then a row too
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub(crate) think_tokens: Vec<Budget>,
    /// Favour ending the thought towards the end of its budget: off, on (from 0.8 of it), or a share
    #[arg(long, value_name = "on|off,…", value_delimiter = ',', value_parser = landing)]
    pub(crate) landing: Vec<f32>,
    /// End the thought when its answer is settled: off, entropy, confidence or agreement
    #[arg(long, value_name = "HOW,…", value_delimiter = ',')]
    pub(crate) early_exit: Vec<EarlyExit>,
}

/// How questions are asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "How questions are asked")]
pub(crate) struct AskArgs {
    /// Answers to each question, for pass@k and majority@k
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) samples: usize,
    /// Questions that are asked side by side; seconds per answer are then those of a busy machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) concurrency: usize,
    /// Keep every finished answer in FILE, and go on from there when started again
    #[arg(long, value_name = "FILE.jsonl", value_hint = ValueHint::FilePath)]
    pub(crate) resume: Option<PathBuf>,
    /// The most tokens of an answer, thinking included (default: what the context holds)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_tokens: Option<usize>,
    /// The system message of questions that have none
    #[arg(long, value_name = "S")]
    pub(crate) system: Option<String>,
    /// What a vote counts: one, or how sure the model was
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) vote_by: VoteBy,
    /// Levels and their fields, as TOML (default: config.toml in the folder of the user's settings)
    #[arg(long, env = "PONDER_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// Where questions come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TaskSource {
    /// The generator, and how many.
    Generator(usize),
    /// A file, and how many at most.
    File(PathBuf, Option<usize>),
}

/// Where results go, beside a terminal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EvalOutput {
    pub(crate) markdown: bool,
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct EvalJob {
    pub(crate) model: ModelChoice,
    pub(crate) task: TaskSource,
    pub(crate) settings: EvalSettings,
    pub(crate) output: EvalOutput,
}

impl EvalArgs {
    pub(super) fn resolve(self, global: &GlobalArgs) -> Result<EvalJob, CliError> {
        let config = ConfigFile::read(self.ask.config.as_deref())?;
        let sampling = self.sampling.resolve();
        let votes = self.grid.votes.iter().copied().max().unwrap_or(1);
        let side_by_side = self.ask.concurrency.saturating_mul(votes);
        let ModelArgs { model, load } = self.model;
        Ok(EvalJob {
            model: ModelChoice {
                name: model,
                options: load.resolve_side_by_side(side_by_side, global)?,
            },
            task: match self.task.as_str() {
                "default" => TaskSource::Generator(self.limit.unwrap_or(DEFAULT_LIMIT)),
                path => TaskSource::File(path.into(), self.limit),
            },
            settings: EvalSettings {
                grid: self.grid.resolve(&config),
                levels: config.levels,
                seed: sampling.seed.unwrap_or(0),
                samples: self.ask.samples,
                concurrency: self.ask.concurrency,
                max_tokens: self.ask.max_tokens,
                system: self.ask.system,
                sampling,
                weighing: match self.ask.vote_by {
                    VoteBy::Majority => Weighing::Majority,
                    VoteBy::Confidence => Weighing::Confidence,
                },
                log: self.ask.resume,
            },
            output: EvalOutput {
                markdown: self.markdown,
                plot: self.plot,
            },
        })
    }
}

impl GridArgs {
    fn resolve(self, config: &ConfigFile) -> Grid {
        let efforts: Vec<_> = self
            .effort
            .into_iter()
            .map(|level| Some(level.into()))
            .collect();
        let usual = config.effort.map(Into::into);
        Grid {
            efforts: or_usual(efforts, usual),
            budgets: or_usual(self.think_tokens, Budget::Own),
            landings: or_usual(self.landing.into_iter().map(Some).collect(), None),
            early_exits: or_usual(self.early_exit.into_iter().map(Some).collect(), None),
            votes: or_usual(self.votes.into_iter().map(Some).collect(), None),
        }
    }
}

/// A list that was typed, or what is usual alone.
fn or_usual<T>(typed: Vec<T>, usual: T) -> Vec<T> {
    if typed.is_empty() { vec![usual] } else { typed }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ponder_engine::Effort;

    use super::*;
    use crate::args::{Job, LowArgs};

    fn resolve(words: &[&str]) -> EvalJob {
        let words = [&["ponder", "eval", "--task"], words].concat();
        let typed = LowArgs::try_parse_from(words).expect("clap accepts");
        match typed.resolve(true).expect("resolves").job {
            Job::Eval(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lists_have_commas() {
        let words = "t.jsonl --effort low,high --votes 1,8 --think-tokens own,256,50% \
                     --landing off,on,0.5 --early-exit off,entropy --limit 20 --seed 7";
        let job = resolve(&words.split_whitespace().collect::<Vec<_>>());
        let grid = job.settings.grid;
        assert_eq!(grid.efforts, [Some(Effort::Low), Some(Effort::High)]);
        assert_eq!(grid.votes, [Some(1), Some(8)]);
        let budgets = [Budget::Own, Budget::Tokens(256), Budget::Share(0.5)];
        assert_eq!(grid.budgets, budgets);
        assert_eq!(grid.landings, [Some(1.0), Some(0.8), Some(0.5)]);
        assert_eq!(
            grid.early_exits,
            [Some(EarlyExit::Off), Some(EarlyExit::Entropy)]
        );
        assert_eq!(job.task, TaskSource::File("t.jsonl".into(), Some(20)));
        assert_eq!(job.settings.seed, 7);
    }

    #[test]
    fn what_is_left_out_is_as_the_model_does() {
        let job = resolve(&["default"]);
        let grid = job.settings.grid;
        assert_eq!(grid.budgets, [Budget::Own]);
        assert_eq!((grid.votes, grid.landings), (vec![None], vec![None]));
        assert_eq!(job.task, TaskSource::Generator(100));
        assert_eq!((job.settings.samples, job.settings.concurrency), (1, 1));
    }

    #[test]
    fn nothing_waits_for_its_turn() {
        let of = |words: &[&str]| resolve(words).model.options.max_sequences;
        assert_eq!(of(&["default"]), 16);
        assert_eq!(of(&["default", "--votes", "1,8", "--concurrency", "4"]), 32);
        assert_eq!(of(&["default", "--votes", "64", "--max-sequences", "8"]), 8);
    }

    #[test]
    fn wrong_lists_are_refused() {
        for words in [
            &["--limit", "3"][..],
            &["--task", "default", "--effort", "low,lots"],
            &["--task", "default", "--votes", "1,0"],
            &["--task", "default", "--think-tokens", "5%%"],
            &["--task", "default", "--landing", "maybe"],
            &["--task", "default", "--early-exit", "off,now"],
            &["--task", "default", "--markdown", "--json"],
        ] {
            let typed = LowArgs::try_parse_from([&["ponder", "eval"], words].concat());
            assert_eq!(
                typed.expect_err(&words.join(" ")).exit_code(),
                2,
                "{words:?}"
            );
        }
    }
}
