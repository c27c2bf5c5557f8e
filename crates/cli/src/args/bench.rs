//! The arguments of `ponder bench`: lists of what is compared, and where it runs.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueHint};
use ponder_bench::{Grid, Job as BenchSettings, Peer, Plan, Server, Start};
use ponder_engine::{LoadOptions, SamplingOverrides, parse_duration};

use super::high::ModelChoice;
use super::low::{GlobalArgs, LoadArgs, SamplingArgs};
use super::values::{EffortLevel, at_least_one, percent, rate, svg_file};
use crate::error::CliError;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    mut_arg("threads", |arg| {
        arg.value_name("N,…")
            .help("Numbers of threads, each of which is compared (default: the machine's cores)")
    })
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
    /// A model: a path, a hub id, a short name or `default`; may be given more than once. Beside
    /// endpoints none is measured here unless this names one
    #[arg(short, long, env = "PONDER_MODEL")]
    pub(crate) model: Vec<String>,
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
    /// Answer what standard input asks, as a process of its own, with the model of this number
    #[arg(long, hide = true, value_name = "INDEX")]
    pub(crate) child: Option<usize>,
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
    /// "llama-bench -m {model} -p {prompt} -n {gen} -d {depth} -t {threads} -r 1 -o json"; the words
    /// in braces stand for what is measured, and quotes mean what they mean to a shell
    #[arg(long, value_name = "CMD", conflicts_with = "rate")]
    pub(crate) vs: Option<Peer>,
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
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath, value_parser = svg_file)]
    pub(crate) plot: Option<PathBuf>,
    /// Also write the report as --json prints it, with every run, for `ponder bench compare`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) save: Option<PathBuf>,
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
    /// How long a server may say nothing before a request has failed
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) silence: Duration,
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
        sampling: Box<SamplingOverrides>,
    },
    Compare {
        before: PathBuf,
        after: PathBuf,
        threshold: f64,
    },
}

#[derive(Debug)]
pub(crate) struct Measurement {
    /// The models that run here, each with every number of threads.
    pub(crate) models: Vec<ModelChoice>,
    pub(crate) settings: BenchSettings,
    pub(crate) servers: Vec<Server>,
    pub(crate) form: Form,
    pub(crate) plot: Option<PathBuf>,
    pub(crate) save: Option<PathBuf>,
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
        let is_only_remote = self.model.is_empty() && !self.endpoints.endpoint.is_empty();
        if is_only_remote && self.plan.vs.is_some() {
            return Err(CliError::usage(
                "--vs compares with a model that runs here, and none is named",
                "name it with -m, or leave --endpoint out",
            ));
        }
        if self.plan.vs.is_some() && !self.grid.start.contains(&Start::Warm) {
            return Err(CliError::usage(
                "--vs compares with warm runs, and none are asked for",
                "add `warm` to --start",
            ));
        }
        let side_by_side = self.grid.concurrency.iter().copied().max().unwrap_or(1);
        let mut models = models(self.model, self.load, side_by_side, global)?;
        let sampling = self.sampling.resolve();
        if let Some(index) = self.child {
            if index >= models.len() {
                return Err(CliError::failed(format!("there is no model {index}")));
            }
            return Ok(BenchJob::Child {
                model: models.swap_remove(index),
                sampling: Box::new(sampling),
            });
        }
        if is_only_remote {
            models.clear();
        }
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
            peer: self.plan.vs,
        };
        Ok(BenchJob::Measure(Box::new(Measurement {
            models,
            settings,
            servers: self.endpoints.resolve(),
            form: self.output.form(),
            plot: self.output.plot,
            save: self.output.save,
        })))
    }
}

/// Every model with every number of threads.
fn models(
    names: Vec<String>,
    load: LoadArgs,
    side_by_side: usize,
    global: &GlobalArgs,
) -> Result<Vec<ModelChoice>, CliError> {
    // Drafts depend on the text, and what is measured is the model.
    let prompt_lookup = load.prompt_lookup;
    let threads: Vec<Option<usize>> = match load.threads.is_empty() {
        true => vec![None],
        false => load.threads.iter().copied().map(Some).collect(),
    };
    let load = LoadArgs {
        threads: Vec::new(),
        ..load
    };
    let options = load.resolve_side_by_side(side_by_side, global)?;
    let names = match names.is_empty() {
        true => vec!["default".to_owned()],
        false => names,
    };
    let with_threads = |name: &String| {
        let (name, options) = (name.clone(), options.clone());
        threads.iter().map(move |&threads| ModelChoice {
            name: name.clone(),
            options: LoadOptions {
                prompt_lookup,
                threads,
                ..options.clone()
            },
        })
    };
    Ok(names.iter().flat_map(with_threads).collect())
}

impl EndpointArgs {
    fn resolve(self) -> Vec<Server> {
        let server = |url| Server {
            url,
            model: self.endpoint_model.clone(),
            key: self.api_key.clone(),
            silence: self.silence,
        };
        self.endpoint.into_iter().map(server).collect()
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
        let options = &job.models[0].options;
        assert_eq!(options.max_sequences, 32, "nobody waits for a turn");
        assert!(!options.prompt_lookup, "drafts would depend on the text");
        assert!(
            measurement("--prompt-lookup").models[0]
                .options
                .prompt_lookup
        );
    }

    #[test]
    fn beside_servers_a_model_must_be_named() {
        let one = "--endpoint http://127.0.0.1:1";
        assert!(measurement(one).models.is_empty());
        let both = measurement(&format!("{one} -m default --csv"));
        assert_eq!(both.models[0].name, "default");
        assert_eq!(both.form, Form::Csv);
        assert_eq!(measurement("").models.len(), 1);
    }

    #[test]
    fn every_model_comes_with_every_number_of_threads() {
        let job = measurement("-m a -m b --threads 1,2");
        let found = job.models.iter();
        let found = found.map(|model| (model.name.as_str(), model.options.threads));
        let expected = [
            ("a", Some(1)),
            ("a", Some(2)),
            ("b", Some(1)),
            ("b", Some(2)),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        // A process of its own knows which of them it is.
        let BenchJob::Child { model, .. } = resolve("-m a -m b --threads 1,2 --child 2") else {
            panic!("no child");
        };
        assert_eq!((model.name.as_str(), model.options.threads), ("b", Some(1)));
        let typed = LowArgs::try_parse_from(["ponder", "run", "--threads", "1,2", "x"]);
        let error = typed.expect("clap accepts").resolve(true);
        assert_eq!(error.expect_err("one number").exit_code(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (words, why) in [
            (["--plot", "plot.png"], "SVG"),
            (["--plot", "plot.pdf"], "SVG"),
            (["--vs", "a 'b"], "a quote is not closed"),
            (["--vs", " "], "the command is empty"),
            (["--vs=x", "--rate=2"], "cannot be used with"),
        ] {
            let words = ["ponder", "bench"].into_iter().chain(words);
            let error = LowArgs::try_parse_from(words).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        for words in ["--vs x --start cold-process", "--vs x --endpoint http://h"] {
            let words = ["ponder", "bench"].into_iter().chain(words.split(' '));
            let typed = LowArgs::try_parse_from(words).expect("clap accepts");
            assert_eq!(typed.resolve(true).expect_err("refused").exit_code(), 2);
        }
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
