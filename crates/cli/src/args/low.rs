//! What the user typed: the clap structures, one per command.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use ponder_engine::quantize::TargetType;
use ponder_engine::{EarlyExit, KvFormat, parse_duration};

use super::bench::BenchArgs;
use super::eval::EvalArgs;
use super::serve::ServeArgs;
use super::values::{
    ColorWhen, DeviceName, EffortLevel, GpuLayers, LogitBias, ShowThinking, VoteBy, at_least_one,
    cache_type, finite, fraction, local_time, non_negative, positive,
};

const MODEL_HELP: &str = "\
A MODEL is a path to a .gguf file (or its first shard), a folder in Hugging Face layout, a hub id \
(Qwen/Qwen3-0.6B, repo:file.gguf, repo:Q4_K_M), a short name (qwen3:0.6b) or `default`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended with Ctrl-C.";

/// Runs open reasoning models on this machine.
#[derive(Debug, Parser)]
#[command(name = "ponder", version, about, after_help = MODEL_HELP, arg_required_else_help = true)]
pub(crate) struct LowArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Print JSON on standard output and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Never touch the network
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// When to use styles; NO_COLOR and CLICOLOR are followed too
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: ColorWhen,
    /// Log to standard error; twice or three times for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer one prompt
    Run(RunArgs),
    /// Talk with a model
    Chat(ChatArgs),
    /// Serve models to OpenAI's clients, and a page to talk to them
    Serve(Box<ServeArgs>),
    /// Download a model into the local store
    Pull(PullArgs),
    /// List the models of the local store
    List,
    /// Show what a model is and what memory it needs
    Show(ShowArgs),
    /// Remove a model from the local store
    Rm(RmArgs),
    /// Write a model as a GGUF file with smaller weights
    Quantize(QuantizeArgs),
    /// Ask questions whose answers are known, over effort levels, votes and budgets
    Eval(EvalArgs),
    /// Measure times to the first token and after it, here and of any OpenAI-compatible endpoint
    Bench(Box<BenchArgs>),
    /// Look at a model's tokens, prompts and logits
    #[command(subcommand)]
    Inspect(Inspect),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder, made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// Options of the commands that run a model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model options")]
pub(crate) struct ModelArgs {
    /// The model: a path, a hub id, a short name or `default`
    #[arg(short, long, env = "PONDER_MODEL", default_value = "default")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// How a model is loaded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model options")]
pub(crate) struct LoadArgs {
    /// Where the model runs: auto, cpu, cuda, cuda:N, metal or reference (default: auto, a GPU where
    /// this build and the machine have one that holds the model, else the CPU)
    #[arg(long)]
    pub(crate) device: Option<DeviceName>,
    /// Layers that a GPU takes, the last ones; the others run on the CPU (default: as many as fit)
    #[arg(long, value_name = "auto|N")]
    pub(crate) gpu_layers: Option<GpuLayers>,
    /// Number of threads (default: the machine's cores)
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = at_least_one)]
    pub(crate) threads: Vec<usize>,
    /// Length of the context in tokens (default: the model's own)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) context: Option<usize>,
    /// Answers that are made side by side, 256 at most; more wait
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_sequences: Option<usize>,
    /// Tokens that all answers together may have in the cache, prompts included (default: what half
    /// of the free memory holds)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) cache_tokens: Option<usize>,
    /// Memory of the machine, in MB, for keys and values that a GPU has no room for at the moment;
    /// what finds none is computed anew (default: an eighth of what is free)
    #[arg(long, value_name = "MB")]
    pub(crate) swap_space: Option<u64>,
    /// How keys and values are stored: f32, f16, bf16, q8_0, q4_0 (CPU only) or fp8 (GPU only)
    /// (default: f16)
    #[arg(long, value_name = "TYPE", value_parser = cache_type)]
    pub(crate) cache_type: Option<KvFormat>,
    /// Let a text that repeats itself say what comes next; saves time, changes nothing
    /// (default, but for `bench`)
    #[arg(long, overrides_with = "no_prompt_lookup")]
    pub(crate) prompt_lookup: bool,
    /// Compute every token without guessing
    #[arg(long)]
    pub(crate) no_prompt_lookup: bool,
    /// Branch, tag or commit of the hub repository
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The prompt; `-` reads it from standard input, and what is piped in is put below it
    #[arg(value_name = "PROMPT|-")]
    pub(crate) prompt: Option<String>,
    /// Put the text of a file below the prompt
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// Neither read nor write the history of typed lines
    #[arg(long)]
    pub(crate) no_history: bool,
}

/// What is asked of an answer.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The system message
    #[arg(long, value_name = "S")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) effort: EffortArgs,
    /// The most tokens that are generated, thinking included
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_tokens: Option<usize>,
    /// Stop before this text; may be given more than once
    #[arg(long, value_name = "S", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stop: Vec<String>,
    /// What happens to the reasoning
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) show_thinking: ShowThinking,
}

/// Thinking; what is left out comes from the level, and the level from the configuration file or the
/// model itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Thinking options")]
pub(crate) struct EffortArgs {
    /// How hard the model thinks; `ponder show` says what each level means for a model
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) effort: Option<EffortLevel>,
    /// The most tokens of thinking, never exceeded
    #[arg(long, value_name = "N")]
    pub(crate) think_tokens: Option<usize>,
    /// The most time of thinking, for example 5s or 1.5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) think_time: Option<Duration>,
    /// When the whole answer is to be there; thinking leaves time for it
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) deadline: Option<Duration>,
    /// Tokens of thinking before the model may end it
    #[arg(long, value_name = "N")]
    pub(crate) think_min: Option<usize>,
    /// Share of all tokens, and of a deadline, that thinking leaves for the answer
    #[arg(long, value_name = "SHARE", value_parser = fraction)]
    pub(crate) answer_share: Option<f32>,
    /// Share of the budget from which on ending the thought is favoured (1: nowhere)
    #[arg(long, value_name = "SHARE", value_parser = fraction)]
    pub(crate) landing: Option<f32>,
    /// End the thought when its answer is settled: off, entropy, confidence or agreement
    #[arg(long, value_name = "HOW")]
    pub(crate) early_exit: Option<EarlyExit>,
    /// Let K answers vote and show the best of those that win
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub(crate) votes: Option<usize>,
    /// What a vote counts: one, or how sure the model was
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) vote_by: VoteBy,
    /// Let a text that repeats itself go on
    #[arg(long)]
    pub(crate) no_loop_guard: bool,
    /// Levels and their fields, as TOML (default: config.toml in the folder of the user's settings)
    #[arg(long, env = "PONDER_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// Sampling; what is left out comes from the model's own recommendation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling options")]
pub(crate) struct SamplingArgs {
    /// Randomness; 0 always takes the likeliest token
    #[arg(long, value_name = "T", value_parser = non_negative)]
    pub(crate) temperature: Option<f32>,
    /// Only the K likeliest tokens (0: all)
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Only the likeliest tokens that together reach probability P
    #[arg(long, value_name = "P", value_parser = fraction)]
    pub(crate) top_p: Option<f32>,
    /// Only tokens of at least P times the likeliest token's probability
    #[arg(long, value_name = "P", value_parser = fraction)]
    pub(crate) min_p: Option<f32>,
    /// Divide the logits of tokens that occurred (1: off)
    #[arg(long, value_name = "R", value_parser = positive)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Taken from the logits of tokens that were generated
    #[arg(long, value_name = "A", value_parser = finite, allow_hyphen_values = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Taken from a token's logit for every time it was generated
    #[arg(long, value_name = "A", value_parser = finite, allow_hyphen_values = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Strength of the DRY penalty on repeated sequences (0: off)
    #[arg(long, value_name = "A", value_parser = non_negative)]
    pub(crate) dry_multiplier: Option<f32>,
    /// Growth of the DRY penalty with the length of the repetition
    #[arg(long, value_name = "B", value_parser = positive)]
    pub(crate) dry_base: Option<f32>,
    /// Length of a repetition that DRY lets pass
    #[arg(long, value_name = "N")]
    pub(crate) dry_allowed_length: Option<usize>,
    /// How many tokens DRY looks back (0: all)
    #[arg(long, value_name = "N")]
    pub(crate) dry_range: Option<usize>,
    /// Added to a token's logit; may be given more than once
    #[arg(long, value_name = "ID=BIAS")]
    pub(crate) logit_bias: Vec<LogitBias>,
    /// Same seed, same text
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(crate) model: NamedModel,
    /// Branch, tag or commit of the hub repository
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) model: NamedModel,
    /// Also the memory that a context of this many tokens needs
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) context: Option<usize>,
    /// Branch, tag or commit of the hub repository
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
    /// Levels and their fields, as TOML (default: config.toml in the folder of the user's settings)
    #[arg(long, env = "PONDER_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    pub(crate) model: NamedModel,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A model that must be named; `PONDER_MODEL` is not asked, so that nobody removes what
/// they did not type.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct NamedModel {
    /// The model: a path, a hub id or a short name
    #[arg(value_name = "MODEL")]
    positional: Option<String>,
    /// The same as an option
    #[arg(short = 'm', long = "model", value_name = "MODEL")]
    option: Option<String>,
}

impl NamedModel {
    /// The name; clap has made sure that exactly one of the two is there.
    pub(crate) fn into_name(self) -> String {
        self.positional.or(self.option).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// The model: a path, a hub id or a short name
    #[arg(value_name = "IN")]
    pub(crate) input: String,
    /// The file to write
    #[arg(value_name = "OUT.gguf", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// What the weights become: f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0 or mxfp4
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) target: TargetType,
    /// Replace a file of the same name
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Number of threads (default: the machine's cores)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) threads: Option<usize>,
    /// Branch, tag or commit of the hub repository
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    /// The token ids and pieces of a text
    Tokens {
        /// The model; a folder without weights will do
        #[arg(short, long, env = "PONDER_MODEL", default_value = "default")]
        model: String,
        /// The text (default: standard input)
        #[arg(allow_hyphen_values = true)]
        text: Option<String>,
    },
    /// The prompt that a request becomes
    Template(TemplateArgs),
    /// The logits of token ids, written to a safetensors file (without --device: the reference's)
    Logits {
        #[command(flatten)]
        model: ModelArgs,
        /// The token ids, with commas between them
        #[arg(long, value_name = "ID,…", value_delimiter = ',', required = true)]
        ids: Vec<u32>,
        /// Also N greedy tokens behind them
        #[arg(long, value_name = "N", default_value_t = 0)]
        greedy: usize,
        /// The file: `logits`, float32 of length × vocabulary, and `greedy`, N int64
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct TemplateArgs {
    /// The model; a folder without weights will do
    #[arg(short, long, env = "PONDER_MODEL", default_value = "default")]
    pub(crate) model: String,
    /// A Chat Completions body
    #[arg(long, value_name = "FILE.json", group = "source", conflicts_with = "vars",
          value_hint = ValueHint::FilePath)]
    pub(crate) request: Option<PathBuf>,
    /// A template that is rendered with exactly the variables of --vars
    #[arg(long, value_name = "FILE.jinja", group = "source", requires = "vars",
          value_hint = ValueHint::FilePath)]
    pub(crate) template: Option<PathBuf>,
    /// The template's variables, a JSON object
    #[arg(long, value_name = "FILE.json", requires = "template", value_hint = ValueHint::FilePath)]
    pub(crate) vars: Option<PathBuf>,
    /// The time that the template sees (default: now)
    #[arg(long, value_name = "TIME", value_parser = local_time)]
    pub(crate) now: Option<String>,
}
