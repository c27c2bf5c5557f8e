//! What the program needs: one job per command, in the engine's types.

use std::path::PathBuf;

use clap_complete::Shell;
use ponder_engine::quantize::{QuantizeOptions, TargetType};
use ponder_engine::{Device, Effort, EffortOverrides, LoadOptions, SamplingOverrides, Weighing};
use ponder_server::ServerOptions;

use super::bench::BenchJob;
use super::config::ConfigFile;
use super::eval::EvalJob;
use super::low::{
    AnswerArgs, ChatArgs, Command, EffortArgs, GlobalArgs, Inspect, LoadArgs, LowArgs, ModelArgs,
    QuantizeArgs, RunArgs, SamplingArgs, TemplateArgs,
};
use super::values::{DeviceName, EffortLevel, ShowThinking, VoteBy};
use crate::error::CliError;

/// The whole command line, resolved.
#[derive(Debug)]
pub(crate) struct HiArgs {
    /// JSON on standard output.
    pub(crate) json: bool,
    /// What is to be done.
    pub(crate) job: Job,
}

/// One command with all that it needs.
#[derive(Debug)]
pub(crate) enum Job {
    Run(Box<RunJob>),
    Chat(Box<ChatJob>),
    Serve(Box<ServerOptions>),
    Pull(ModelChoice),
    List,
    Show {
        model: ModelChoice,
        /// The memory at this context is shown instead of that at usual ones.
        context: Option<usize>,
        config: ConfigFile,
    },
    Remove {
        model: String,
        yes: bool,
    },
    Quantize(QuantizeJob),
    Eval(Box<EvalJob>),
    Bench(Box<BenchJob>),
    Inspect(InspectJob),
    Completions(Shell),
    Man(PathBuf),
}

/// A model and how it is loaded.
#[derive(Debug)]
pub(crate) struct ModelChoice {
    pub(crate) name: String,
    pub(crate) options: LoadOptions,
}

/// Where the text of the prompt comes from; at least one source holds something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PromptSources {
    pub(crate) argument: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) stdin: bool,
}

/// What every answer of a run or a chat has in common.
#[derive(Clone, Debug)]
pub(crate) struct AnswerOptions {
    pub(crate) system: Option<String>,
    pub(crate) effort: Option<EffortLevel>,
    /// What was typed beside the level; it wins over `config`.
    pub(crate) effort_overrides: EffortOverrides,
    pub(crate) config: ConfigFile,
    pub(crate) weighing: Weighing,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stop: Vec<String>,
    pub(crate) sampling: SamplingOverrides,
    pub(crate) show_thinking: ShowThinking,
}

#[derive(Debug)]
pub(crate) struct RunJob {
    pub(crate) model: ModelChoice,
    pub(crate) prompt: PromptSources,
    pub(crate) answer: AnswerOptions,
}

#[derive(Debug)]
pub(crate) struct ChatJob {
    pub(crate) model: ModelChoice,
    pub(crate) answer: AnswerOptions,
    pub(crate) history: bool,
}

#[derive(Debug)]
pub(crate) struct QuantizeJob {
    pub(crate) input: String,
    pub(crate) output: PathBuf,
    pub(crate) target: TargetType,
    pub(crate) options: QuantizeOptions,
}

#[derive(Debug)]
pub(crate) enum InspectJob {
    Tokens {
        model: ModelChoice,
        /// `None`: standard input.
        text: Option<String>,
    },
    Template(TemplateJob),
    Logits {
        model: ModelChoice,
        ids: Vec<u32>,
        greedy: usize,
        out: PathBuf,
    },
}

#[derive(Debug)]
pub(crate) enum TemplateJob {
    /// A request rendered with the template of a model.
    Request {
        model: ModelChoice,
        request: PathBuf,
        now: Option<String>,
    },
    /// A template file rendered with exactly these variables.
    File {
        template: PathBuf,
        vars: PathBuf,
        now: Option<String>,
    },
}

impl LowArgs {
    /// Checks what was typed and turns it into a job.
    ///
    /// `stdin_is_terminal` decides whether standard input is part of a prompt.
    pub(crate) fn resolve(self, stdin_is_terminal: bool) -> Result<HiArgs, CliError> {
        let global = &self.global;
        let job = match self.command {
            Command::Run(args) => Job::Run(Box::new(args.resolve(global, stdin_is_terminal)?)),
            Command::Chat(args) => Job::Chat(Box::new(args.resolve(global)?)),
            Command::Serve(args) => Job::Serve(Box::new(args.resolve(global)?)),
            Command::Pull(args) => {
                Job::Pull(weightless(args.model.into_name(), args.revision, global))
            }
            Command::List => Job::List,
            Command::Show(args) => Job::Show {
                model: weightless(args.model.into_name(), args.revision, global),
                context: args.context,
                config: ConfigFile::read(args.config.as_deref())?,
            },
            Command::Rm(args) => Job::Remove {
                model: args.model.into_name(),
                yes: args.yes,
            },
            Command::Quantize(args) => Job::Quantize(args.resolve(global)?),
            Command::Eval(args) => Job::Eval(Box::new(args.resolve(global)?)),
            Command::Bench(args) => Job::Bench(Box::new(args.resolve(global)?)),
            Command::Inspect(inspect) => Job::Inspect(inspect.resolve(global)?),
            Command::Completions { shell } => Job::Completions(shell),
            Command::Man { dir } => Job::Man(dir),
        };
        Ok(HiArgs {
            json: self.global.json,
            job,
        })
    }
}

impl RunArgs {
    fn resolve(self, global: &GlobalArgs, stdin_is_terminal: bool) -> Result<RunJob, CliError> {
        let dash = self.prompt.as_deref() == Some("-");
        let prompt = PromptSources {
            argument: self.prompt.filter(|_| !dash),
            file: self.file,
            stdin: dash || !stdin_is_terminal,
        };
        if prompt.argument.is_none() && prompt.file.is_none() && !prompt.stdin {
            return Err(CliError::usage(
                "there is no prompt",
                "give it as an argument, with --file or through a pipe; `ponder chat` asks for it",
            ));
        }
        Ok(RunJob {
            model: self.model.resolve(global)?,
            prompt,
            answer: self.answer.resolve(self.sampling)?,
        })
    }
}

impl ChatArgs {
    fn resolve(self, global: &GlobalArgs) -> Result<ChatJob, CliError> {
        Ok(ChatJob {
            model: self.model.resolve(global)?,
            answer: self.answer.resolve(self.sampling)?,
            history: !self.no_history,
        })
    }
}

impl QuantizeArgs {
    fn resolve(self, global: &GlobalArgs) -> Result<QuantizeJob, CliError> {
        if self
            .output
            .extension()
            .is_none_or(|ending| ending != "gguf")
        {
            return Err(CliError::usage(
                format!("the file to write is called `{}`", self.output.display()),
                "give it a name that ends in .gguf; the model comes first, the file second",
            ));
        }
        Ok(QuantizeJob {
            input: self.input,
            output: self.output,
            target: self.target,
            options: QuantizeOptions {
                load: LoadOptions {
                    offline: global.offline,
                    revision: self.revision,
                    threads: self.threads,
                    ..LoadOptions::default()
                },
                overwrite: self.force,
            },
        })
    }
}

impl Inspect {
    fn resolve(self, global: &GlobalArgs) -> Result<InspectJob, CliError> {
        Ok(match self {
            Self::Tokens { model, text } => InspectJob::Tokens {
                model: weightless(model, None, global),
                text,
            },
            Self::Template(args) => InspectJob::Template(args.resolve(global)),
            Self::Logits {
                mut model,
                ids,
                greedy,
                out,
            } => {
                model.load.device.get_or_insert(DeviceName::Reference);
                InspectJob::Logits {
                    model: model.resolve(global)?,
                    ids,
                    greedy,
                    out,
                }
            }
        })
    }
}

impl TemplateArgs {
    fn resolve(self, global: &GlobalArgs) -> TemplateJob {
        let now = self.now;
        match (self.request, self.template, self.vars) {
            (None, Some(template), Some(vars)) => TemplateJob::File {
                template,
                vars,
                now,
            },
            // clap has made sure that a request stands alone and that a template has its
            // variables, so the request is there in every other case.
            (request, ..) => TemplateJob::Request {
                model: weightless(self.model, None, global),
                request: request.unwrap_or_default(),
                now,
            },
        }
    }
}

/// A model that is looked at without being run: device and threads play no part.
fn weightless(name: String, revision: Option<String>, global: &GlobalArgs) -> ModelChoice {
    let options = LoadOptions {
        offline: global.offline,
        revision,
        ..LoadOptions::default()
    };
    ModelChoice { name, options }
}

impl ModelArgs {
    pub(super) fn resolve(self, global: &GlobalArgs) -> Result<ModelChoice, CliError> {
        Ok(ModelChoice {
            name: self.model,
            options: self.load.resolve(global)?,
        })
    }
}

impl LoadArgs {
    pub(super) fn resolve(self, global: &GlobalArgs) -> Result<LoadOptions, CliError> {
        let defaults = LoadOptions::default();
        let threads = match self.threads[..] {
            [] => None,
            [threads] => Some(threads),
            _ => {
                return Err(CliError::usage(
                    "--threads has several numbers",
                    "only `ponder bench` compares them",
                ));
            }
        };
        Ok(LoadOptions {
            device: device(self.device.unwrap_or(DeviceName::Auto))?,
            gpu_layers: self.gpu_layers.and_then(|layers| layers.0),
            threads,
            context: self.context,
            offline: global.offline,
            revision: self.revision,
            max_waiting: None,
            max_sequences: self.max_sequences.unwrap_or(defaults.max_sequences),
            cache_tokens: self.cache_tokens,
            cache_type: self.cache_type,
            swap_bytes: self.swap_space.map(|megabytes| megabytes << 20),
            // The two options override each other, so the later one stands alone.
            prompt_lookup: match (self.prompt_lookup, self.no_prompt_lookup) {
                (true, _) => true,
                (false, true) => false,
                (false, false) => defaults.prompt_lookup,
            },
        })
    }

    /// The same with room for so many answers side by side, unless a number was typed: one that waits
    /// for its turn would count the time that it waits.
    pub(super) fn resolve_side_by_side(
        self,
        n: usize,
        global: &GlobalArgs,
    ) -> Result<LoadOptions, CliError> {
        let is_typed = self.max_sequences.is_some();
        let mut options = self.resolve(global)?;
        if !is_typed {
            options.max_sequences = options.max_sequences.max(n);
        }
        Ok(options)
    }
}

/// The engine's device, or why this build does not have it.
fn device(name: DeviceName) -> Result<Device, CliError> {
    let (missing, index) = match name {
        DeviceName::Auto => return Ok(Device::Auto),
        DeviceName::Reference => return Ok(Device::Reference),
        DeviceName::Cpu => return Ok(Device::Cpu),
        DeviceName::Cuda(index) if Device::HAS_CUDA => return Ok(Device::Cuda(index)),
        DeviceName::Cuda(index) => ("CUDA", format!(" (`cuda:{index}`)")),
        DeviceName::Metal => ("Metal", String::new()),
    };
    Err(
        CliError::failed(format!("this build of ponder has no {missing}{index}"))
            .with_hint("run with --device cpu"),
    )
}

impl AnswerArgs {
    fn resolve(self, sampling: SamplingArgs) -> Result<AnswerOptions, CliError> {
        let config = ConfigFile::read(self.effort.config.as_deref())?;
        Ok(AnswerOptions {
            system: self.system,
            effort: self.effort.effort.or(config.effort),
            effort_overrides: self.effort.overrides(),
            config,
            weighing: match self.effort.vote_by {
                VoteBy::Majority => Weighing::Majority,
                VoteBy::Confidence => Weighing::Confidence,
            },
            max_tokens: self.max_tokens,
            stop: self.stop,
            sampling: sampling.resolve(),
            show_thinking: self.show_thinking,
        })
    }
}

impl EffortArgs {
    fn overrides(&self) -> EffortOverrides {
        EffortOverrides {
            think_tokens: self.think_tokens,
            think_min: self.think_min,
            think_time: self.think_time,
            deadline: self.deadline,
            answer_share: self.answer_share,
            landing: self.landing,
            loop_guard: self.no_loop_guard.then_some(false),
            early_exit: self.early_exit,
            votes: self.votes,
            ..EffortOverrides::default()
        }
    }
}

impl SamplingArgs {
    pub(super) fn resolve(self) -> SamplingOverrides {
        let biases: Vec<_> = self.logit_bias.iter().map(|b| (b.token, b.bias)).collect();
        SamplingOverrides {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            dry_multiplier: self.dry_multiplier,
            dry_base: self.dry_base,
            dry_allowed_length: self.dry_allowed_length,
            dry_range: self.dry_range,
            logit_bias: (!biases.is_empty()).then_some(biases),
            seed: self.seed,
            ..SamplingOverrides::default()
        }
    }
}

impl From<EffortLevel> for Effort {
    fn from(level: EffortLevel) -> Self {
        match level {
            EffortLevel::None => Self::None,
            EffortLevel::Minimal => Self::Minimal,
            EffortLevel::Low => Self::Low,
            EffortLevel::Medium => Self::Medium,
            EffortLevel::High => Self::High,
            EffortLevel::Xhigh => Self::Xhigh,
            EffortLevel::Max => Self::Max,
        }
    }
}

/// The answer options of a command line, for tests of other modules.
#[cfg(test)]
pub(crate) fn answer_options(words: &[&str]) -> AnswerOptions {
    use clap::Parser;
    let typed = LowArgs::try_parse_from([&["ponder", "chat"], words].concat());
    match typed
        .expect("clap accepts")
        .resolve(true)
        .expect("resolves")
        .job
    {
        Job::Chat(job) => job.answer,
        other => panic!("not a chat: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use ponder_engine::KvFormat;

    use super::*;

    fn resolve(words: &[&str], stdin_is_terminal: bool) -> Result<Job, CliError> {
        let typed = LowArgs::try_parse_from([&["ponder"], words].concat()).expect("clap accepts");
        typed
            .resolve(stdin_is_terminal)
            .map(|resolved| resolved.job)
    }

    fn sources(words: &[&str], stdin_is_terminal: bool) -> PromptSources {
        match resolve(words, stdin_is_terminal) {
            Ok(Job::Run(job)) => job.prompt,
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn the_command_is_consistent() {
        LowArgs::command().debug_assert();
    }

    #[test]
    fn prompts_have_three_sources() {
        let text = || Some("hi".to_owned());
        let typed = sources(&["run", "hi"], true);
        assert_eq!((typed.argument, typed.stdin), (text(), false));
        let both = sources(&["run", "hi"], false);
        assert_eq!((both.argument, both.stdin), (text(), true));
        let dash = sources(&["run", "-"], true);
        assert_eq!((dash.argument, dash.stdin), (None, true));
        let file = sources(&["run", "--file", "a.txt"], true);
        assert_eq!((file.file, file.stdin), (Some("a.txt".into()), false));
        let error = resolve(&["run"], true).expect_err("nothing to answer");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn global_options_stand_anywhere() {
        let typed = LowArgs::try_parse_from(["ponder", "--json", "list", "--color", "never"]);
        let typed = typed.expect("clap accepts");
        assert!(typed.resolve(true).expect("resolves").json);
    }

    #[test]
    fn devices_of_other_builds_are_named() {
        let error = resolve(&["run", "hi", "--device", "metal"], true).expect_err("no Metal");
        assert!(error.to_string().contains("no Metal"), "{error}");
        assert_eq!(error.exit_code(), 1);
        let cuda = resolve(&["run", "hi", "--device", "cuda:1"], true);
        assert_eq!(cuda.is_ok(), Device::HAS_CUDA);
        if let Err(error) = cuda {
            assert!(error.to_string().contains("no CUDA (`cuda:1`)"), "{error}");
        }
        assert!(resolve(&["run", "hi", "--device", "reference"], true).is_ok());
    }

    #[test]
    fn logits_are_the_references_unless_a_device_is_named() {
        let logits = ["inspect", "logits", "--ids", "1", "--out", "f"];
        let device = |more: &[&str]| match resolve(&[&logits[..], more].concat(), true) {
            Ok(Job::Inspect(InspectJob::Logits { model, .. })) => model.options.device,
            other => panic!("{other:?}"),
        };
        assert_eq!(device(&[]), Device::Reference);
        assert_eq!(device(&["--device", "cpu"]), Device::Cpu);
    }

    #[test]
    fn load_options_are_passed_on() {
        let options = |words: &[&str]| match resolve(&[&["run", "hi"], words].concat(), true) {
            Ok(Job::Run(job)) => job.model.options,
            other => panic!("not a run: {other:?}"),
        };
        let (plain, defaults) = (options(&[]), LoadOptions::default());
        assert_eq!(plain.max_sequences, defaults.max_sequences);
        assert_eq!((plain.cache_tokens, plain.cache_type), (None, None));
        assert!(plain.prompt_lookup);
        let words = [
            "--max-sequences",
            "3",
            "--cache-tokens",
            "4096",
            "--cache-type",
            "q8_0",
        ];
        let asked = options(&words);
        assert_eq!((asked.max_sequences, asked.cache_tokens), (3, Some(4096)));
        assert_eq!(asked.cache_type, Some(KvFormat::Q8_0));
        assert!(!options(&["--no-prompt-lookup"]).prompt_lookup);
        assert!(options(&["--no-prompt-lookup", "--prompt-lookup"]).prompt_lookup);
        assert!(!options(&["--prompt-lookup", "--no-prompt-lookup"]).prompt_lookup);
    }

    #[test]
    fn wrong_usage_is_refused_by_clap() {
        for words in [
            &["run", "--temperature", "-1", "hi"][..],
            &["run", "--top-p", "2", "hi"],
            &["run", "--effort", "huge", "hi"],
            &["run", "--think-time", "soon", "hi"],
            &["run", "--landing", "2", "hi"],
            &["run", "--votes", "0", "hi"],
            &["run", "--early-exit", "soon", "hi"],
            &["run", "--typo", "hi"],
            &["run", "--stop", "", "hi"],
            &["run", "--max-sequences", "0", "hi"],
            &["run", "--cache-tokens", "0", "hi"],
            &["run", "--cache-type", "q9", "hi"],
            &["show"],
            &["show", "a", "-m", "b"],
            &["quantize", "m", "o.gguf"],
            &["quantize", "m", "o.gguf", "--type", "q9"],
            &["quantize", "m", "--type", "q8_0"],
            &["inspect", "template"],
            &["inspect", "template", "--template", "t.jinja"],
            &[
                "inspect",
                "template",
                "--request",
                "r",
                "--template",
                "t",
                "--vars",
                "v",
            ],
            &["inspect", "template", "--request", "r", "--vars", "v"],
            &["inspect", "logits", "--ids", "1,x", "--out", "f"],
            &["serve", "a.gguf"],
        ] {
            let typed = LowArgs::try_parse_from([&["ponder"], words].concat());
            let error = typed.expect_err(&words.join(" "));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }

    #[test]
    fn quantized_files_have_their_ending() {
        let words = ["quantize", "m", "o.gguf", "--type", "Q4_K_M", "--force"];
        match resolve(&words, true) {
            Ok(Job::Quantize(job)) => {
                assert_eq!(job.target, TargetType::Q4KM);
                assert!(job.options.overwrite);
            }
            other => panic!("{other:?}"),
        }
        let error = resolve(&["quantize", "o.gguf", "m", "--type", "q8_0"], true);
        assert_eq!(error.expect_err("swapped").exit_code(), 2);
    }

    #[test]
    fn texts_may_look_like_options() {
        let job = resolve(&["inspect", "tokens", "-m", "x", "-5 --z", "--json"], true);
        match job {
            Ok(Job::Inspect(InspectJob::Tokens { text, .. })) => {
                assert_eq!(text.as_deref(), Some("-5 --z"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sampling_is_passed_on() {
        let words = [
            "run",
            "hi",
            "--temperature",
            "0",
            "--seed",
            "7",
            "--logit-bias",
            "3=-1.5",
        ];
        match resolve(&words, true) {
            Ok(Job::Run(job)) => {
                assert_eq!(job.answer.sampling.temperature, Some(0.0));
                assert_eq!(job.answer.sampling.seed, Some(7));
                assert_eq!(job.answer.sampling.logit_bias, Some(vec![(3, -1.5)]));
                assert_eq!(job.answer.sampling.top_p, None);
            }
            other => panic!("{other:?}"),
        }
    }
}
