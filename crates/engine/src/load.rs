//! From a model's name to a model in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ponder_effort::control::Tables;
use ponder_runtime::{
    backend::DeviceMeter,
    cache::CachePlan,
    decoder::Model,
    hub::{self, ModelRef, Store, StoreOptions},
    spec::ArchSpec,
    weights::{Checkpoint, WeightsError},
};
use ponder_tokenizer::{Tokenizer, chat::ChatTemplate, split::ChatFormat};

use crate::{
    Accelerator, Device, EngineError, LoadOptions, MemoryPlace, ModelInfo,
    device::Backend,
    driver::Spare,
    effort::{Profile, thought_tables},
    grammar::Grammars,
    memory,
    sampling::{self, SamplingDefaults},
    vocab::gguf_vocab,
};

/// What loading reports.
#[derive(Clone, Copy, Debug)]
pub enum LoadProgress<'a> {
    /// Files are being fetched.
    Download(hub::Progress<'a>),
    /// The files are there and are being mapped.
    Weights {
        /// File or folder.
        path: &'a Path,
    },
    /// The tokenizer is being built.
    Tokenizer,
    /// Something that was decided and that the user may not expect, such as another device.
    Note(&'a str),
}

/// A model in memory.
pub(crate) struct Loaded {
    pub(crate) info: ModelInfo,
    pub(crate) text: TextParts,
    pub(crate) model: Box<dyn Model>,
    /// Loads it elsewhere, where its device is lost.
    pub(crate) spare: Option<Spare>,
    pub(crate) meter: Option<Arc<dyn DeviceMeter>>,
}

/// What turns messages into tokens and tokens into events.
#[derive(Debug)]
pub(crate) struct TextParts {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    pub(crate) format: ChatFormat,
    /// Tokens that end a turn.
    pub(crate) stop_tokens: Vec<u32>,
    pub(crate) sampling: SamplingDefaults,
    pub(crate) vocab_size: usize,
    /// What the family was trained for.
    pub(crate) profile: &'static Profile,
    tables: OnceLock<Arc<Tables>>,
    grammars: OnceLock<Arc<Grammars>>,
}

impl TextParts {
    pub(crate) fn new(
        tokenizer: Tokenizer,
        sampling: SamplingDefaults,
        vocab_size: usize,
    ) -> Result<Self, EngineError> {
        let template = chat_template(&tokenizer)?;
        let format = chat_format(&tokenizer);
        let mut stop_tokens = tokenizer.stop_tokens().to_vec();
        stop_tokens.extend(
            format
                .stop
                .iter()
                .filter_map(|piece| tokenizer.token_id(piece)),
        );
        Ok(Self {
            profile: Profile::detect(tokenizer.chat_template()),
            tokenizer,
            template,
            format,
            stop_tokens,
            sampling,
            vocab_size,
            tables: OnceLock::new(),
            grammars: OnceLock::new(),
        })
    }

    /// What the controller must know of the vocabulary; made when it is first asked for.
    pub(crate) fn tables(&self) -> &Arc<Tables> {
        self.tables.get_or_init(|| {
            Arc::new(thought_tables(
                &self.tokenizer,
                &self.format,
                self.profile,
                &self.stop_tokens,
                self.vocab_size,
            ))
        })
    }

    /// What grammars must know of the model; made when it is first asked for.
    ///
    /// # Errors
    /// Where the vocabulary cannot be read as one.
    pub(crate) fn grammars(&self) -> Result<&Arc<Grammars>, EngineError> {
        if let Some(grammars) = self.grammars.get() {
            return Ok(grammars);
        }
        let grammars = Arc::new(Grammars::new(self)?);
        Ok(self.grammars.get_or_init(|| grammars))
    }
}

pub(crate) fn load(
    name: &str,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress<'_>),
) -> Result<Loaded, EngineError> {
    let started = Instant::now();
    let place = resolve(name, options, &mut |step| {
        progress(LoadProgress::Download(step))
    })?;
    if let Place::Files(path) = &place {
        progress(LoadProgress::Weights { path });
    }
    let checkpoint = place.open()?;
    let spec = ArchSpec::of(&checkpoint)?;
    // Weights are mapped in milliseconds; building the vocabulary takes longer, as does opening a
    // device, so both at once.
    let (running, text) = std::thread::scope(|scope| {
        let text = scope.spawn(|| text_parts(&checkpoint, spec.vocab_size));
        let note = &mut |note: &str| progress(LoadProgress::Note(note));
        let running = Running::load(options, &spec, &checkpoint, note);
        (running, text.join())
    });
    let running = running?;
    let spare = spare(options, place, &running);
    progress(LoadProgress::Tokenizer);
    let text = text.map_err(|_| EngineError::WorkerGone)??;
    let mut info = ModelInfo::new(
        name,
        &checkpoint,
        &spec,
        &text.tokenizer,
        &text.format,
        options.cache_type()?,
    );
    info.context = running.context;
    info.device = Some(running.device);
    info.accelerator = running.accelerator;
    info.places = running.places;
    info.load_s = started.elapsed().as_secs_f64();
    tracing::info!(
        seconds = info.load_s,
        family = info.family,
        device = info.device,
        info.context,
        running.cache_tokens,
        "model loaded"
    );
    Ok(Loaded {
        info,
        text,
        spare,
        model: running.model,
        meter: running.meter,
    })
}

/// What loads the model for the processor, where whoever did not ask for a certain device got one that
/// may be lost.
fn spare(options: &LoadOptions, place: Place, running: &Running) -> Option<Spare> {
    let may_move = options.device == Device::Auto && running.meter.is_some();
    let options = LoadOptions {
        device: Device::Cpu,
        context: Some(running.context),
        cache_tokens: None,
        cache_type: None,
        ..options.clone()
    };
    let load = move || {
        let checkpoint = place.open()?;
        let spec = ArchSpec::of(&checkpoint)?;
        Ok(Running::load(&options, &spec, &checkpoint, &mut |_| {})?.model)
    };
    may_move.then(|| Box::new(load) as Spare)
}

/// A model on its device.
struct Running {
    model: Box<dyn Model>,
    /// As `--device` calls it.
    device: String,
    /// The device beside the processor, as it was before the model came.
    accelerator: Option<Accelerator>,
    meter: Option<Arc<dyn DeviceMeter>>,
    places: Vec<MemoryPlace>,
    context: usize,
    cache_tokens: usize,
}

impl Running {
    fn load(
        options: &LoadOptions,
        spec: &ArchSpec,
        checkpoint: &Checkpoint,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, EngineError> {
        let backend = Backend::open(options, spec, checkpoint, note)?;
        let (context, cache_tokens) = room(options, spec, checkpoint, &backend)?;
        let (device, places) = (backend.name(), backend.places());
        let meter = backend.meter();
        let accelerator = meter.as_ref().map(|meter| Accelerator {
            facts: meter.facts(),
            free_mb: meter.free_bytes().map(|bytes| bytes / 1_000_000),
        });
        let n_sequences = options.n_sequences();
        Ok(Self {
            model: backend.load(spec.clone(), checkpoint, cache_tokens, n_sequences)?,
            device,
            accelerator,
            meter,
            places,
            context,
            cache_tokens,
        })
    }
}

/// Where a model's files are.
pub(crate) enum Place {
    /// In the program.
    Embedded,
    /// A file or folder.
    Files(PathBuf),
}

impl Place {
    pub(crate) fn open(&self) -> Result<Checkpoint, WeightsError> {
        match self {
            Self::Embedded => Checkpoint::from_bytes(crate::store::embedded()),
            Self::Files(path) => Checkpoint::open(path),
        }
    }

    /// The same of a folder that may hold no weights.
    pub(crate) fn open_metadata(&self) -> Result<Checkpoint, WeightsError> {
        match self {
            Self::Embedded => self.open(),
            Self::Files(path) => Checkpoint::open_metadata(path),
        }
    }
}

/// Where the files behind a name are, fetched if need be.
pub(crate) fn resolve(
    name: &str,
    options: &LoadOptions,
    progress: &mut dyn FnMut(hub::Progress<'_>),
) -> Result<Place, EngineError> {
    let mut model = ModelRef::parse(name)?;
    if let (ModelRef::Hub(hub), Some(revision)) = (&mut model, &options.revision) {
        hub.revision = Some(revision.clone());
    }
    if model == ModelRef::Default {
        return Ok(Place::Embedded);
    }
    Ok(Place::Files(store(options).resolve(&model, progress)?))
}

/// The local store as environment and options describe it.
pub(crate) fn store(options: &LoadOptions) -> Store {
    let mut settings = StoreOptions::from_env();
    settings.offline |= options.offline;
    Store::new(settings)
}

/// Facts about a model of which perhaps only the metadata are there.
pub(crate) fn describe(name: &str, options: &LoadOptions) -> Result<ModelInfo, EngineError> {
    let place = resolve(name, options, &mut |_| {})?;
    // A folder without weights can be described too.
    let checkpoint = place.open().or_else(|_| place.open_metadata())?;
    let spec = ArchSpec::of(&checkpoint)?;
    let tokenizer = tokenizer(&checkpoint)?;
    let format = chat_format(&tokenizer);
    let mut info = ModelInfo::new(
        name,
        &checkpoint,
        &spec,
        &tokenizer,
        &format,
        options.cache_type()?,
    );
    info.context = context(options, &spec)?;
    Ok(info)
}

/// The tokenizer of a checkpoint.
pub(crate) fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer, EngineError> {
    match checkpoint.gguf() {
        Some(metadata) => Ok(Tokenizer::from_gguf(gguf_vocab(metadata)?)?),
        None => Ok(Tokenizer::from_folder(
            checkpoint.dir().unwrap_or(checkpoint.path()),
        )?),
    }
}

/// How the model marks thinking and tool calls.
pub(crate) fn chat_format(tokenizer: &Tokenizer) -> ChatFormat {
    ChatFormat::detect(tokenizer.chat_template(), |piece| {
        tokenizer.token_id(piece).is_some()
    })
}

/// The model's template, or plain ChatML with a warning.
pub(crate) fn chat_template(tokenizer: &Tokenizer) -> Result<ChatTemplate, EngineError> {
    match tokenizer.chat_template() {
        Some(source) => Ok(ChatTemplate::new(source)?),
        None => {
            tracing::warn!(
                "the model has no chat template: messages are written as ChatML, which it may not know"
            );
            Ok(ChatTemplate::fallback())
        }
    }
}

fn text_parts(checkpoint: &Checkpoint, vocab_size: usize) -> Result<TextParts, EngineError> {
    let parts = TextParts::new(
        tokenizer(checkpoint)?,
        sampling::defaults(checkpoint)?,
        vocab_size,
    )?;
    // Here, beside the weights, it keeps nobody waiting.
    parts.tables();
    Ok(parts)
}

fn context(options: &LoadOptions, spec: &ArchSpec) -> Result<usize, EngineError> {
    match options.context {
        Some(wanted) if wanted > spec.context_len => Err(EngineError::ContextTooLarge {
            wanted,
            model: spec.context_len,
        }),
        Some(wanted) => Ok(wanted),
        None => Ok(spec.context_len),
    }
}

/// The context, and the tokens that the cache holds: one context at least. A context that nobody
/// asked for is no longer than what fits.
fn room(
    options: &LoadOptions,
    spec: &ArchSpec,
    checkpoint: &Checkpoint,
    backend: &Backend,
) -> Result<(usize, usize), EngineError> {
    let context = context(options, spec)?;
    let bytes_of_32 = options.cache_type()?.bytes_of_32();
    let cache_tokens = options.cache_tokens.unwrap_or_else(|| {
        memory::cache_tokens(
            &CachePlan::new(spec),
            bytes_of_32,
            backend.bytes_left(checkpoint),
            options.context,
            spec.context_len,
            options.n_sequences(),
        )
    });
    if options.context.is_some() && cache_tokens < context {
        let cache = cache_tokens;
        return Err(EngineError::CacheTooSmall { cache, context });
    }
    Ok((context.min(cache_tokens), cache_tokens))
}
