//! Attention over the paged cache, a layer in the shape of Qwen3-0.6B: bytes of keys and values
//! that decode reads in a second, and floating-point operations of prefill (`item/s`).
//!
//! `cargo bench -p ponder-benches --bench attention`

mod support;

use candle_core::{D, DType};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ponder_kernels_cpu::attention::{
    Attention, AttentionBatch, AttentionScratch, BLOCK_LEN, KvFormat, KvLayout, Span, append,
};
use ponder_kernels_cpu::{HugeBytes, Isa, Threads};

use support::numbers;

const N_HEADS: usize = 16;
const N_KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;

/// 134 MB of keys and values in half precision at a depth of 8192.
const N_LAYERS: usize = 4;

fn main() {
    divan::main();
}

/// Sequences in the storages of some layers, which are used in turn: with enough of them, each
/// has left the cache of the processor when its turn comes again.
struct Sequences {
    attention: Attention<'static>,
    layers: Vec<HugeBytes>,
    /// The blocks of each; the first ones are the same.
    tables: Vec<Vec<u32>>,
    n_tokens: usize,
}

impl Sequences {
    fn one(threads: &Threads, format: KvFormat, n_tokens: usize, n_layers: usize) -> Self {
        Self::forks(threads, format, 1, [0, n_tokens], n_layers)
    }

    /// `n` sequences with so many tokens in common, and so many of their own.
    fn forks(
        threads: &Threads,
        format: KvFormat,
        n: usize,
        [n_shared, n_own]: [usize; 2],
        n_layers: usize,
    ) -> Self {
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
        let shared = (n_shared / BLOCK_LEN) as u32;
        let own = n_own.div_ceil(BLOCK_LEN) as u32;
        let n_blocks = shared + n as u32 * own;
        let table = |index: u32| {
            let own = shared + index * own..shared + (index + 1) * own;
            (0..shared).chain(own).collect()
        };
        let rows = numbers(BLOCK_LEN * N_KV_HEADS * HEAD_DIM);
        let layer = || {
            let n_bytes = n_blocks as usize * layout.block_bytes();
            let mut storage = HugeBytes::zeroed(n_bytes).expect("memory");
            for block in 0..n_blocks {
                let span = Span {
                    first_row: 0,
                    n_rows: BLOCK_LEN,
                    position: 0,
                    blocks: &[block],
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
            tables: (0..n as u32).map(table).collect(),
            n_tokens: n_shared + n_own,
        }
    }

    /// Times the attention of the last `n_rows` tokens of each.
    fn time(&self, threads: &Threads, isa: Isa, n_rows: usize, bencher: Bencher<'_, '_>) {
        let queries = numbers(self.tables.len() * n_rows * N_HEADS * HEAD_DIM);
        let mut out = vec![0.0; queries.len()];
        let mut scratch = AttentionScratch::new();
        let tables = self.tables.iter().enumerate();
        let spans: Vec<_> = tables
            .map(|(index, blocks)| Span {
                first_row: index * n_rows,
                n_rows,
                position: self.n_tokens - n_rows,
                blocks,
                dropped_blocks: 0,
            })
            .collect();
        // A product and a sum for each dimension of a key and of a value that a query sees.
        let n_seen: usize = (self.n_tokens - n_rows..self.n_tokens).map(|p| p + 1).sum();
        let flop = ItemsCount::new(4 * spans.len() * n_seen * N_HEADS * HEAD_DIM);
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

/// What decode can reach: 256 MB read from end to end, in 64 parts.
#[divan::bench(consts = [1, 2])]
fn memory<const THREADS: usize>(bencher: Bencher<'_, '_>) {
    let threads = Threads::new(THREADS).expect("threads");
    let mut bytes = HugeBytes::zeroed(256 << 20).expect("memory");
    bytes.fill(1);
    let part_len = bytes.len() / 64;
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| {
            threads.run(64, &|part, _| {
                let mut sums = [0u64; 32];
                for line in bytes[part * part_len..][..part_len].as_chunks::<256>().0 {
                    for (sum, word) in sums.iter_mut().zip(line.as_chunks().0) {
                        *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
                    }
                }
                black_box(sums);
            });
        });
}

/// One new token after 8192.
#[divan::bench(args = KvFormat::ALL, consts = [1, 2])]
fn decode<const THREADS: usize>(bencher: Bencher<'_, '_>, format: KvFormat) {
    decode_after::<THREADS>(bencher, format, 8192);
}

/// The same after fewer and after more.
#[divan::bench(args = [(KvFormat::F16, 2048), (KvFormat::F16, 16384), (KvFormat::Q8_0, 2048), (KvFormat::Q8_0, 16384)], consts = [1, 2])]
fn decode_at_depth<const THREADS: usize>(
    bencher: Bencher<'_, '_>,
    (format, n_tokens): (KvFormat, usize),
) {
    decode_after::<THREADS>(bencher, format, n_tokens);
}

fn decode_after<const THREADS: usize>(bencher: Bencher<'_, '_>, format: KvFormat, n_tokens: usize) {
    let threads = Threads::new(THREADS).expect("threads");
    let n_layers = (N_LAYERS * 8192 / n_tokens).max(2);
    Sequences::one(&threads, format, n_tokens, n_layers).time(&threads, Isa::best(), 1, bencher);
}

/// One new token of each of some sequences with a common beginning, and 64 tokens of their own.
#[divan::bench(args = [(1, 512), (4, 512), (8, 512), (16, 512), (1, 2048), (4, 2048), (8, 2048), (16, 2048)], consts = [1, 2])]
fn forks<const THREADS: usize>(bencher: Bencher<'_, '_>, (n, n_shared): (usize, usize)) {
    let threads = Threads::new(THREADS).expect("threads");
    let forks = Sequences::forks(&threads, KvFormat::F16, n, [n_shared, 64], 16);
    forks.time(&threads, Isa::best(), 1, bencher);
}

/// The same in a cache of 8 bits.
#[divan::bench(args = [(1, 2048), (16, 2048)], consts = [1, 2])]
fn forks_q8<const THREADS: usize>(bencher: Bencher<'_, '_>, (n, n_shared): (usize, usize)) {
    let threads = Threads::new(THREADS).expect("threads");
    let forks = Sequences::forks(&threads, KvFormat::Q8_0, n, [n_shared, 64], 16);
    forks.time(&threads, Isa::best(), 1, bencher);
}

/// The same without vectors, a sixteenth as long.
#[divan::bench(args = KvFormat::ALL)]
fn decode_512_scalar(bencher: Bencher<'_, '_>, format: KvFormat) {
    let threads = Threads::new(1).expect("threads");
    Sequences::one(&threads, format, 512, 1).time(&threads, Isa::Scalar, 1, bencher);
}

/// One new token after 8192 as candle's operations on one thread: a product, softmax, a product, with
/// the query heads of a KV head as its rows.
#[divan::bench(args = [DType::F32, DType::F16])]
fn decode_candle(bencher: Bencher<'_, '_>, dtype: DType) {
    const N_TOKENS: usize = 8192;
    let layers: Vec<_> = (0..N_LAYERS)
        .map(|_| [0, 1].map(|_| support::tensor((N_KV_HEADS, N_TOKENS, HEAD_DIM), dtype)))
        .collect();
    let mut layers = layers.iter().cycle();
    let queries = support::tensor((N_KV_HEADS, N_HEADS / N_KV_HEADS, HEAD_DIM), dtype);
    let flop = ItemsCount::new(4 * N_TOKENS * N_HEADS * HEAD_DIM);
    let n_bytes = 2 * N_TOKENS * N_KV_HEADS * HEAD_DIM * dtype.size_in_bytes();
    let bencher = bencher.counter(flop).counter(BytesCount::new(n_bytes));
    support::candle(bencher, || {
        let [keys, values] = layers.next().expect("a cycle");
        let scores = queries.matmul(&keys.transpose(1, 2)?)?;
        let scores = (scores / (HEAD_DIM as f64).sqrt())?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
        weights.matmul(values)
    });
}

/// The last 512 tokens of a prompt.
#[divan::bench(args = [512, 2048], consts = [1, 2])]
fn prefill<const THREADS: usize>(bencher: Bencher<'_, '_>, n_tokens: usize) {
    let threads = Threads::new(THREADS).expect("threads");
    let sequence = Sequences::one(&threads, KvFormat::F16, n_tokens, 1);
    sequence.time(&threads, Isa::best(), 512, bencher);
}

/// The last 4 tokens: a draft that is verified.
#[divan::bench(args = KvFormat::ALL)]
fn verify(bencher: Bencher<'_, '_>, format: KvFormat) {
    let threads = Threads::new(1).expect("threads");
    Sequences::one(&threads, format, 8192, N_LAYERS).time(&threads, Isa::best(), 4, bencher);
}
