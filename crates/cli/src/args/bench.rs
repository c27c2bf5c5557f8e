//! The arguments of `ponder bench`: lists of what is compared, and where it runs.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueHint};
use ponder_bench::{Grid, Job as BenchSettings, Plan, Start};

use super::high::ModelChoice;
use super::low::{GlobalArgs, LoadArgs, SamplingArgs};
use super::values::{EffortLevel, at_least_one, percent, rate};
use crate::error::CliError;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    /// The model: a path, a hub id, a short name or `default`; beside endpoints none is measured here
    /// unless this names one
    #[arg(short, long, env = "PONDER_MODEL")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) grid: BenchGridArgs,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) endpoints: EndpointArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// Answer what standard input asks, as a process of its own
    #[arg(long, hide = true)]
    pub(crate) child: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Say what changed between two reports beyond noise; exit with 1 where something became worse
    Compare {
        /// The report from before, written with --json
        #[arg(value_name = "A.json", value_hint = ValueHint::FilePath)]
        before: PathBuf,
        /// The report from after
        #[arg(value_name = "B.json", value_hint = ValueHint::FilePath)]
        after: PathBuf,
        /// How much worse a figure may be, beyond noise
        #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
        threshold: f64,
    },
}

/// What is compared: every combination of these lists is a row.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is compared, in lists with commas")]
pub(crate) struct BenchGridArgs {
    /// Tokens of the prompt, template included
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "128", value_parser = at_least_one)]
    pub(crate) prompt_tokens: Vec<usize>,
    /// Tokens before the prompt that are in the cache already
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    pub(crate) depth: Vec<usize>,
    /// Requests side by side
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = at_least_one)]
    pub(crate) concurrency: Vec<usize>,
    /// How hard the model thinks (default: its own way)
    #[arg(long, value_enum, value_name = "LEVEL,…", value_delimiter = ',')]
    pub(crate) effort: Vec<EffortLevel>,
    /// How warm things are: warm, cold-process (a new process for each answer) or cold-disk (the
    /// model's files dropped from the page cache before)
    #[arg(
        long,
        value_name = "HOW,…",
        value_delimiter = ',',
        default_value = "warm"
    )]
    pub(crate) start: Vec<Start>,
}

/// How it is measured.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is measured")]
pub(crate) struct PlanArgs {
    /// Tokens of every answer; its end is ignored
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub(crate) gen_tokens: usize,
    /// Runs that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub(crate) runs: usize,
    /// Runs before them that do not
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) warmup: usize,
    /// Ask the same prompt every time, and let it be found in the cache
    #[arg(long)]
    pub(crate) prefix_cache: bool,
    /// Let R requests per second arrive by chance instead of in rounds, as many as --runs says; more
    /// than --concurrency at a time wait, and that counts
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Let runs alternate with those of llama-bench, or what prints the same, for example
    /// "llama-bench -m F.gguf -p {prompt} -n {gen} -d {depth} -t {threads} -r 1 -o json"
    #[arg(long, value_name = "CMD")]
    pub(crate) vs: Option<String>,
    /// Do not probe what the machine can do at most
    #[arg(long)]
    pub(crate) no_roofline: bool,
}

/// Where results go, beside a terminal.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print a line of JSON for each row
    #[arg(long, group = "form", conflicts_with = "json")]
    pub(crate) jsonl: bool,
    /// Print comma-separated values
    #[arg(long, group = "form", conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Print the tables in Markdown
    #[arg(long, group = "form", conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Print SQL statements
    #[arg(long, group = "form", conflicts_with = "json")]
    pub(crate) sql: bool,
    /// Also draw TTFT and TPOT against the length of prompt and context
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath)]
    pub(crate) plot: Option<PathBuf>,
}

/// Servers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Servers")]
pub(crate) struct EndpointArgs {
    /// Measure an OpenAI-compatible server, such as http://127.0.0.1:8080; may be given more than once
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) endpoint: Vec<String>,
    /// What the servers call their model (default: the first that they list)
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub(crate) endpoint_model: Option<String>,
    /// The key that the servers want
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Option<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Tables,
    Jsonl,
    Csv,
    Markdown,
    Sql,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum BenchJob {
    Measure(Box<Measurement>),
    /// The other side of a cold start.
    Child {
        model: ModelChoice,
        settings: Box<BenchSettings>,
    },
    Compare {
        before: PathBuf,
        after: PathBuf,
        threshold: f64,
    },
}

#[derive(Debug)]
pub(crate) struct Measurement {
    /// The model that runs here, if any does.
    pub(crate) model: Option<ModelChoice>,
    pub(crate) settings: BenchSettings,
    pub(crate) endpoints: Vec<String>,
    pub(crate) endpoint_model: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) form: Form,
    pub(crate) plot: Option<PathBuf>,
    /// The peer whose runs alternate with those here.
    pub(crate) vs: Option<String>,
}

/// A seed that no earlier run had: a server may still know the prompts of that one.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl BenchArgs {
    pub(super) fn resolve(self, global: &GlobalArgs) -> Result<BenchJob, CliError> {
        if let Some(BenchCommand::Compare {
            before,
            after,
            threshold,
        }) = self.command
        {
            return Ok(BenchJob::Compare {
                before,
                after,
                threshold,
            });
        }
        // Drafts depend on the text, and what is measured is the model.
        let with_prompt_lookup = self.load.prompt_lookup;
        let most = self.grid.concurrency.iter().copied().max().unwrap_or(1);
        let mut options = self.load.resolve_side_by_side(most, global)?;
        options.prompt_lookup = with_prompt_lookup;
        let sampling = self.sampling.resolve();
        let settings = BenchSettings {
            plan: Plan {
                gen_tokens: self.plan.gen_tokens,
                runs: self.plan.runs,
                warmup: self.plan.warmup,
                prefix_cache: self.plan.prefix_cache,
                rate: self.plan.rate,
                seed: sampling.seed.unwrap_or_else(now),
            },
            starts: self.grid.start.clone(),
            grid: self.grid.resolve(),
            sampling,
            roofline: !self.plan.no_roofline,
        };
        let is_only_remote = self.model.is_none() && !self.endpoints.endpoint.is_empty();
        if is_only_remote && self.plan.vs.is_some() {
            return Err(CliError::usage(
                "--vs compares with a model that runs here, and none is named",
                "name it with -m, or leave --endpoint out",
            ));
        }
        let model = ModelChoice {
            name: self.model.unwrap_or_else(|| "default".to_owned()),
            options,
        };
        if self.child {
            return Ok(BenchJob::Child {
                model,
                settings: Box::new(settings),
            });
        }
        Ok(BenchJob::Measure(Box::new(Measurement {
            model: (!is_only_remote).then_some(model),
            settings,
            endpoints: self.endpoints.endpoint,
            endpoint_model: self.endpoints.endpoint_model,
            api_key: self.endpoints.api_key,
            form: self.output.form(),
            plot: self.output.plot,
            vs: self.plan.vs,
        })))
    }
}

impl BenchGridArgs {
    fn resolve(self) -> Grid {
        let mut efforts: Vec<_> = self
            .effort
            .into_iter()
            .map(|level| Some(level.into()))
            .collect();
        if efforts.is_empty() {
            efforts.push(None);
        }
        Grid {
            prompt_tokens: self.prompt_tokens,
            depths: self.depth,
            concurrencies: self.concurrency,
            efforts,
        }
    }
}

impl OutputArgs {
    fn form(&self) -> Form {
        match (self.jsonl, self.csv, self.markdown, self.sql) {
            (true, ..) => Form::Jsonl,
            (_, true, ..) => Form::Csv,
            (_, _, true, _) => Form::Markdown,
            (_, _, _, true) => Form::Sql,
            _ => Form::Tables,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use ponder_engine::Effort;

    use super::*;
    use crate::args::{Job, LowArgs};

    fn resolve(words: &str) -> BenchJob {
        let words = ["ponder", "bench"]
            .into_iter()
            .chain(words.split_whitespace());
        let typed = LowArgs::try_parse_from(words).expect("clap accepts");
        match typed.resolve(true).expect("resolves").job {
            Job::Bench(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn measurement(words: &str) -> Measurement {
        match resolve(words) {
            BenchJob::Measure(measurement) => *measurement,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_combination_is_a_case() {
        let job = measurement(
            "--prompt-tokens 128,512 --depth 0,1024 --concurrency 1,32 --effort low,high",
        );
        assert_eq!(job.settings.grid.cases().len(), 16);
        assert_eq!(
            job.settings.grid.efforts,
            [Some(Effort::Low), Some(Effort::High)]
        );
        let options = job.model.expect("a model").options;
        assert_eq!(options.max_sequences, 32, "nobody waits for a turn");
        assert!(!options.prompt_lookup, "drafts would depend on the text");
        assert!(
            measurement("--prompt-lookup")
                .model
                .is_some_and(|model| model.options.prompt_lookup)
        );
    }

    #[test]
    fn beside_servers_a_model_must_be_named() {
        let one = "--endpoint http://127.0.0.1:1";
        assert!(measurement(one).model.is_none());
        let both = measurement(&format!("{one} -m default --csv"));
        assert_eq!(both.model.expect("a model").name, "default");
        assert_eq!(both.form, Form::Csv);
        assert!(measurement("").model.is_some());
    }

    #[test]
    fn reports_are_compared_without_a_model() {
        let job = resolve("compare a.json b.json --threshold 2.5%");
        let BenchJob::Compare { threshold, .. } = job else {
            panic!("{job:?}");
        };
        assert_eq!(threshold, 0.025);
        let wrong = ["ponder", "bench", "--start", "tepid"];
        assert!(LowArgs::try_parse_from(wrong).is_err());
    }
}
