//! What an edge asks for.

use ponder_effort::SamplingOverrides;
use ponder_runtime::backend::{KvFormat, cpu::n_cores};
use ponder_tokenizer::chat::Message;
use serde_json::{Map, Value};

use crate::{Device, Effort, EffortOverrides, EngineError, device};

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where it runs.
    pub device: Device,
    /// Layers that a device of NVIDIA's takes, the last ones; the others run on the processor. `None`:
    /// as many as fit its memory.
    pub gpu_layers: Option<usize>,
    /// Threads; `None`: one per processor.
    pub threads: Option<usize>,
    /// Tokens that prompt and answer may have together; `None`: what the model was trained for.
    pub context: Option<usize>,
    /// Never touch the network.
    pub offline: bool,
    /// Branch, tag or commit of a hub repository.
    pub revision: Option<String>,
    /// Answers that are made side by side, 256 at most; more wait.
    pub max_sequences: usize,
    /// Tokens that all answers together may have in memory, prompts included, and with them what is
    /// kept of earlier ones: a bound that is never exceeded. `None`: as many as can be used, but no
    /// more than half of the memory that is free beside the weights.
    pub cache_tokens: Option<usize>,
    /// How keys and values are stored; `None`: in half precision, and by [`Device::Reference`],
    /// which knows nothing else, in 32 bits.
    pub cache_type: Option<KvFormat>,
    /// Bytes of the machine's memory for keys and values that a device with memory of its own has no
    /// room for; what finds no room here either is computed anew. `None`: an eighth of what is free.
    pub swap_bytes: Option<u64>,
    /// Answers that may wait for a place; one more is refused with [`EngineError::Busy`]. `None`: any
    /// number.
    pub max_waiting: Option<usize>,
    /// Let a text that repeats itself say what comes next, and check it in one step. Changes the
    /// time that an answer takes, and nothing else; used only where it is measured to save time.
    pub prompt_lookup: bool,
}

impl LoadOptions {
    /// The threads that a model runs on.
    pub fn n_threads(&self) -> usize {
        self.threads.unwrap_or_else(n_cores)
    }

    /// [`LoadOptions::max_sequences`] within its bounds: a step has room for a row of each.
    pub(crate) fn n_sequences(&self) -> usize {
        self.max_sequences.clamp(1, 256)
    }

    /// How keys and values are stored.
    ///
    /// # Errors
    /// Where the device cannot store them so.
    pub(crate) fn cache_type(&self) -> Result<KvFormat, EngineError> {
        device::cache_type(self.device, self.cache_type)
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: Device::default(),
            gpu_layers: None,
            threads: None,
            context: None,
            offline: false,
            revision: None,
            max_sequences: 16,
            cache_tokens: None,
            cache_type: None,
            swap_bytes: None,
            max_waiting: None,
            prompt_lookup: true,
        }
    }
}

/// One question to a model.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The conversation so far; the last message is what is answered.
    pub messages: Vec<Message>,
    /// Declarations of tools, as the model's template wants them (JSON-Schema functions).
    pub tools: Vec<Value>,
    /// What differs from the model's own sampling defaults.
    pub sampling: SamplingOverrides,
    /// Tokens of thinking and answer together; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// How much to think; `None`: as the model does by itself.
    pub effort: Option<Effort>,
    /// What differs from what the level means.
    pub effort_overrides: EffortOverrides,
    /// Tokens that earlier rounds of the same turn, with tool calls between them, have thought;
    /// `None`: they are counted in the messages behind the last of the user.
    pub think_used: Option<usize>,
    /// Whether this answer may use [`LoadOptions::prompt_lookup`]; `None`: yes.
    pub prompt_lookup: Option<bool>,
    /// Whether what an earlier request has computed may be used; `None`: yes. An answer that may not
    /// use it leaves nothing for others either.
    pub prefix_cache: Option<bool>,
    /// Go on to the token limit whatever the model says: tokens that end a turn do not come, and a
    /// text may repeat itself. For measuring.
    pub ignore_eos: bool,
    /// Further template variables; they win over everything else.
    pub template_vars: Map<String, Value>,
    /// A text that is continued as it is: without a template, and with nothing read as thinking or
    /// as a call. `messages` and `tools` are then empty.
    pub raw_prompt: Option<RawPrompt>,
    /// What the answer must be like. It holds from where the thought ends.
    pub format: Format,
    /// Whether tools are called.
    pub tool_choice: ToolChoice,
    /// Names of the tools that may be called; empty: all of them.
    pub allowed_tools: Vec<String>,
    /// At most one tool is called.
    pub one_tool_call: bool,
    /// Say with [`Event::Token`](crate::Event::Token) which tokens were drawn, with as many
    /// alternatives as `sampling.logprobs` says.
    pub report_tokens: bool,
    /// Whether everybody else goes first.
    pub is_background: bool,
    /// Who asks. Where requests wait, places are dealt among those who ask, whatever number of
    /// requests each of them has.
    pub client: u64,
}

/// What is continued without a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawPrompt {
    /// A text; what the tokenizer puts before every text goes before it.
    Text(String),
    /// Token ids, nothing added.
    Ids(Vec<u32>),
}

/// What an answer must be like.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// Whatever the model says.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// A JSON document that the schema describes.
    JsonSchema(Value),
    /// A text that a regular expression (of the crate `regex`) matches as a whole.
    Regex(String),
    /// A text of a context-free grammar, in the dialect of Lark that llguidance reads.
    Grammar(String),
}

/// Whether tools are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// None is.
    None,
    /// One is, at least.
    Required,
}
