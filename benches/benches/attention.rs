//! Attention over the paged cache, a layer in the shape of Qwen3-0.6B: bytes of keys and values
//! that decode reads in a second, and floating-point operations of prefill (`item/s`).
//!
//! `cargo bench -p ponder-benches --bench attention`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::attention::{
    Attention, AttentionBatch, AttentionScratch, BLOCK_LEN, KvFormat, KvLayout, Span, append,
};
use ponder_kernels_cpu::{HugeBytes, Isa, Threads};

const N_HEADS: usize = 16;
const N_KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;

/// 134 MB of keys and values in half precision at a depth of 8192.
const N_LAYERS: usize = 4;

fn main() {
    divan::main();
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A sequence in the storages of some layers, which are used in turn: with enough of them, each
/// has left the cache of the processor when its turn comes again.
struct Sequence {
    attention: Attention<'static>,
    layers: Vec<HugeBytes>,
    blocks: Vec<u32>,
    n_tokens: usize,
}

impl Sequence {
    fn new(threads: &Threads, format: KvFormat, n_tokens: usize, n_layers: usize) -> Self {
        let layout = KvLayout {
            format,
            n_kv_heads: N_KV_HEADS,
            head_dim: HEAD_DIM,
        };
        let attention = Attention {
            layout,
            n_heads: N_HEADS,
            scale: 1.0 / (HEAD_DIM as f32).sqrt(),
            softcap: None,
            window: None,
            sinks: None,
        };
        let blocks: Vec<u32> = (0..n_tokens.div_ceil(BLOCK_LEN) as u32).collect();
        let n_bytes = blocks.len() * layout.block_bytes();
        let rows = numbers(BLOCK_LEN * N_KV_HEADS * HEAD_DIM);
        let layer = || {
            let mut storage = HugeBytes::zeroed(n_bytes).expect("memory");
            for position in (0..n_tokens).step_by(BLOCK_LEN) {
                let span = Span {
                    first_row: 0,
                    n_rows: BLOCK_LEN.min(n_tokens - position),
                    position,
                    blocks: &blocks,
                    dropped_blocks: 0,
                };
                let rows = [&rows[..]; 2];
                append(threads, Isa::best(), &layout, &[span], rows, &mut storage);
            }
            storage
        };
        Self {
            attention,
            layers: (0..n_layers).map(|_| layer()).collect(),
            blocks,
            n_tokens,
        }
    }

    /// Times the last `n_rows` tokens' attention.
    fn time(&self, threads: &Threads, isa: Isa, n_rows: usize, bencher: Bencher<'_, '_>) {
        let queries = numbers(n_rows * N_HEADS * HEAD_DIM);
        let mut out = vec![0.0; queries.len()];
        let mut scratch = AttentionScratch::new();
        let spans = [Span {
            first_row: 0,
            n_rows,
            position: self.n_tokens - n_rows,
            blocks: &self.blocks,
            dropped_blocks: 0,
        }];
        // A product and a sum for each dimension of a key and of a value that a query sees.
        let n_seen: usize = (self.n_tokens - n_rows..self.n_tokens).map(|p| p + 1).sum();
        let flop = ItemsCount::new(4 * n_seen * N_HEADS * HEAD_DIM);
        let bytes = BytesCount::new(self.layers[0].len());
        let bencher = bencher.counter(flop).counter(bytes);
        let mut layers = self.layers.iter().cycle();
        bencher.bench_local(|| {
            let batch = AttentionBatch {
                spans: &spans,
                queries: black_box(&queries),
                storage: layers.next().expect("a cycle"),
            };
            let attention = &self.attention;
            attention.run(threads, isa, &batch, &mut scratch, &mut out);
        });
    }
}

/// One new token after 8192.
#[divan::bench(args = KvFormat::ALL, consts = [1, 2])]
fn decode<const THREADS: usize>(bencher: Bencher<'_, '_>, format: KvFormat) {
    let threads = Threads::new(THREADS).expect("threads");
    Sequence::new(&threads, format, 8192, N_LAYERS).time(&threads, Isa::best(), 1, bencher);
}

/// The same without vectors, a sixteenth as long.
#[divan::bench(args = KvFormat::ALL)]
fn decode_512_scalar(bencher: Bencher<'_, '_>, format: KvFormat) {
    let threads = Threads::new(1).expect("threads");
    Sequence::new(&threads, format, 512, 1).time(&threads, Isa::Scalar, 1, bencher);
}

/// The last 512 tokens of a prompt.
#[divan::bench(args = [512, 2048], consts = [1, 2])]
fn prefill<const THREADS: usize>(bencher: Bencher<'_, '_>, n_tokens: usize) {
    let threads = Threads::new(THREADS).expect("threads");
    let sequence = Sequence::new(&threads, KvFormat::F16, n_tokens, 1);
    sequence.time(&threads, Isa::best(), 512, bencher);
}

/// The last 4 tokens: a draft that is verified.
#[divan::bench(args = KvFormat::ALL)]
fn verify(bencher: Bencher<'_, '_>, format: KvFormat) {
    let threads = Threads::new(1).expect("threads");
    Sequence::new(&threads, format, 8192, N_LAYERS).time(&threads, Isa::best(), 4, bencher);
}
