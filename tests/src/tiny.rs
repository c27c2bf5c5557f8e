//! A model that says what it is told: enough of one for tests of everything around it.

use crate::gguf_writer::GgufWriter;

/// The turn markers and a generation prompt, as ChatML writes them.
const TEMPLATE: &str = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}{# <think> </think> #}";

/// The same, with the thought opened by the template.
const THINKING_TEMPLATE: &str = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>' }}{%- endif %}{# </think> #}";

/// A GGUF file of a model that answers every prompt of its template with `script`, one token per
/// entry, and then ends its turn. Entries must differ, as the next token depends on the last alone.
///
/// The embedding is the identity, the layer adds nothing, and the head maps each token to its
/// successor, so every logit but one is 0.
pub fn scripted(script: &[&str]) -> Vec<u8> {
    let mut words = Words::new();
    let ids = words.ids(script);
    let mut next = words.ending();
    words.chain(&mut next, usize::from(b'\n'), &ids);
    words.write(&next, TEMPLATE)
}

/// A GGUF file of a model that gives texts as vectors: the state behind each token is a unit vector
/// of its own. `pooling` is the number that GGUF files have for how they become one.
pub fn embedding(pooling: u32) -> Vec<u8> {
    let words = Words::new();
    let head = vec![0.0; words.tokens.len().pow(2)];
    let zeros = &mut |len| vec![0.0; len];
    write(&words.tokens, &words.types, TEMPLATE, &head, zeros)
        .u32("llama.pooling_type", pooling)
        .finish()
}

/// As [`scripted`], for a template that opens the thought: after `<think>` comes the thought, after
/// `</think>`, a line end or an "s" (as in "the answer is") the answer. A thought that does not close itself begins anew.
pub fn thinking(thought: &[&str], closes: bool, answer: &[&str]) -> Vec<u8> {
    let mut words = Words::new();
    let (thought, answer) = (words.ids(thought), words.ids(answer));
    let mut next = words.ending();
    let [open, close] = ["<think>", "</think>"].map(|marker| words.ids(&[marker])[0]);
    let end = words.chain(&mut next, open, &thought);
    next[end] = if closes { close } else { thought[0] };
    words.chain(&mut next, usize::from(b'\n'), &answer);
    next[close] = answer[0];
    next[usize::from(b's')] = answer[0];
    words.write(&next, THINKING_TEMPLATE)
}

/// A vocabulary of bytes and markers that grows with the words of a script.
struct Words {
    tokens: Vec<String>,
    types: Vec<i32>,
}

impl Words {
    const END: usize = 257;

    fn new() -> Self {
        let mut tokens: Vec<String> = (0..=255u8).map(byte_piece).collect();
        let mut types = vec![1; tokens.len()];
        tokens.extend(["<|im_start|>", "<|im_end|>", "<think>", "</think>"].map(str::to_owned));
        types.extend([3, 3, 4, 4]);
        Self { tokens, types }
    }

    fn ids(&mut self, script: &[&str]) -> Vec<usize> {
        let piece = |word: &str| match word {
            "<think>" | "</think>" => word.to_owned(),
            word => word.bytes().map(byte_piece).collect(),
        };
        let mut id = |word: &&str| {
            let piece = piece(word);
            let known = self.tokens.iter().position(|token| *token == piece);
            known.unwrap_or_else(|| {
                self.tokens.push(piece);
                self.types.push(1);
                self.tokens.len() - 1
            })
        };
        script.iter().map(&mut id).collect()
    }

    /// Every token is followed by the end of the turn.
    fn ending(&self) -> Vec<usize> {
        vec![Self::END; self.tokens.len()]
    }

    /// Lets tokens follow each other behind `last`. Returns the last of them.
    fn chain(&self, next: &mut [usize], last: usize, ids: &[usize]) -> usize {
        ids.iter().fold(last, |last, &id| {
            assert_eq!(next[last], Self::END, "entries of a script must differ");
            next[last] = id;
            id
        })
    }

    fn write(&self, next: &[usize], template: &str) -> Vec<u8> {
        let n = self.tokens.len();
        let mut head = vec![0.0; n * n];
        let successors = next.iter().enumerate();
        successors.for_each(|(token, next)| head[next * n + token] = 1.0);
        write(&self.tokens, &self.types, template, &head, &mut |len| {
            vec![0.0; len]
        })
        .finish()
    }
}

/// A GGUF file of a model with weights by chance: what it says makes no sense, depends on every token
/// before, and goes on until the limit.
pub fn babbling() -> Vec<u8> {
    let mut tokens: Vec<String> = (0..=255u8).map(byte_piece).collect();
    tokens.extend(["<|im_start|>", "<|im_end|>", "<think>", "</think>"].map(str::to_owned));
    let mut types = vec![1; 256];
    types.extend([3, 3, 4, 4]);
    // Knuth's MMIX constants; numbers in [-1, 1).
    let mut state = 1u64;
    let mut random = |len: usize| -> Vec<f32> {
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(len).collect()
    };
    let n = tokens.len();
    let mut head = random(n * n);
    // The end of the turn is never likely.
    head[257 * n..258 * n].fill(0.0);
    write(&tokens, &types, TEMPLATE, &head, &mut random).finish()
}

fn write(
    tokens: &[String],
    types: &[i32],
    template: &str,
    head: &[f32],
    layer: &mut dyn FnMut(usize) -> Vec<f32>,
) -> GgufWriter {
    let n = tokens.len();
    let identity: Vec<f32> = (0..n * n)
        .map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 })
        .collect();
    let ones = vec![1.0; n];
    let mut file = GgufWriter::new()
        .str("general.architecture", "llama")
        .str("general.license", "mit")
        .u32("llama.block_count", 1)
        .u32("llama.embedding_length", n as u32)
        .u32("llama.feed_forward_length", 8)
        .u32("llama.context_length", 256)
        .u32("llama.attention.head_count", 1)
        .u32("llama.attention.key_length", 8)
        .u32("llama.rope.dimension_count", 8)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-6)
        .str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", "qwen2")
        .strings("tokenizer.ggml.tokens", tokens)
        .i32s("tokenizer.ggml.token_type", types)
        .strings::<&str>("tokenizer.ggml.merges", &[])
        .u32("tokenizer.ggml.eos_token_id", 257)
        .str("tokenizer.chat_template", template)
        .tensor_f32("token_embd.weight", &[n, n], &identity)
        .tensor_f32("output.weight", &[n, n], head)
        .tensor_f32("output_norm.weight", &[n], &ones)
        .tensor_f32("blk.0.attn_norm.weight", &[n], &ones)
        .tensor_f32("blk.0.ffn_norm.weight", &[n], &ones);
    for (name, shape) in [
        ("attn_q", [8, n]),
        ("attn_k", [8, n]),
        ("attn_v", [8, n]),
        ("attn_output", [n, 8]),
        ("ffn_gate", [8, n]),
        ("ffn_up", [8, n]),
        ("ffn_down", [n, 8]),
    ] {
        let values = layer(shape.iter().product());
        file = file.tensor_f32(&format!("blk.0.{name}.weight"), &shape, &values);
    }
    file
}

/// How byte-level BPE spells a byte: itself where it is printable, else a character from 256 on
/// (the table of GPT-2).
fn byte_piece(byte: u8) -> String {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte).to_string();
    }
    let earlier = (0..byte).filter(|&byte| !printable(byte)).count() as u32;
    char::from_u32(256 + earlier)
        .expect("a character")
        .to_string()
}
