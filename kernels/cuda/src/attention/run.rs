use super::shape::{DecodeLaunch, FastKernels, PrefillLaunch, TILE_ROWS};
use super::{Append, AttentionBatch, AttentionScratch, CacheLayer, KvFormat};
use crate::view::{View, check_len, count, joined};
use crate::{Arg, CudaError, Device, Launch, Memory, Precision, Properties};

/// Threads of a block of the exact kernel.
const EXACT_THREADS: u32 = 128;
/// Stands for no window.
const ALL_KEYS: u32 = u32::MAX;

/// An attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Query heads, a multiple of the KV heads; head `i` reads KV head `i * n_kv_heads / n_heads`.
    pub n_heads: usize,
    /// `[n_heads]` of float32: a score of each head that takes part in the softmax and has no value.
    pub sinks: Option<&'a Memory>,
    /// How exactly.
    pub precision: Precision,
}

/// What all kernels are told.
struct Run<'a> {
    device: &'a Device,
    properties: &'a Properties,
    batch: &'a AttentionBatch<'a>,
    cache: &'a CacheLayer,
    queries: View<'a>,
    out: View<'a>,
    n_heads: usize,
    window: Option<usize>,
    sinks: Option<&'a Memory>,
    fresh: Option<Fresh<'a>>,
}

/// Keys and values that are not in the cache yet.
#[derive(Clone, Copy)]
struct Fresh<'a> {
    append: &'a Append<'a>,
    n_pairs: usize,
    keys: View<'a>,
    values: View<'a>,
}

impl Attention<'_> {
    /// `out = softmax(queries · keys) · values`, over the keys that each row's token sees. Queries
    /// are scaled already; keys and values of all rows are in the cache.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small, query heads are no multiple of KV heads, or launches for these
    /// bounds would not do the step.
    pub fn run(
        &self,
        device: &Device,
        batch: &AttentionBatch<'_>,
        [queries, out]: [View<'_>; 2],
        cache: &CacheLayer,
        scratch: &mut AttentionScratch,
    ) -> Result<(), CudaError> {
        self.run_as(
            device,
            device.properties(),
            batch,
            [queries, out],
            cache,
            scratch,
        )
    }

    /// The same, after `append` has made queries, keys and values ready and stored them. In steps that
    /// have a row for each span, one launch does both, and the queries stay as they are.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// As [`Self::run`] and [`Append::run`].
    pub fn run_with(
        &self,
        device: &Device,
        append: &Append<'_>,
        batch: &AttentionBatch<'_>,
        [queries, keys, values, out]: [View<'_>; 4],
        cache: &CacheLayer,
        scratch: &mut AttentionScratch,
    ) -> Result<(), CudaError> {
        let (bounds, shape) = (batch.bounds, cache.shape());
        let is_one_tile = bounds.short_rows == 1 && self.n_heads <= TILE_ROWS * shape.n_kv_heads;
        let kernels = self.kernels(cache, [queries, out]);
        let Some(kernels) = kernels.filter(|_| bounds.n_long == 0 && is_one_tile) else {
            append.run(device, batch, [queries, keys, values], cache)?;
            return self.run(device, batch, [queries, out], cache, scratch);
        };
        let n_pairs = append.check(batch, shape);
        assert_eq!(self.n_heads, append.n_heads, "queries of one layer");
        keys.check(bounds.n_rows, shape.n_kv_heads * shape.head_dim);
        values.check(bounds.n_rows, shape.n_kv_heads * shape.head_dim);
        let mut run = self.on(device, device.properties(), batch, [queries, out], cache);
        run.fresh = Some(Fresh {
            append,
            n_pairs,
            keys,
            values,
        });
        run.decode(kernels, scratch)
    }

    /// With launches as a device with these properties gets them.
    pub(super) fn run_as(
        &self,
        device: &Device,
        properties: &Properties,
        batch: &AttentionBatch<'_>,
        [queries, out]: [View<'_>; 2],
        cache: &CacheLayer,
        scratch: &mut AttentionScratch,
    ) -> Result<(), CudaError> {
        let run = self.on(device, properties, batch, [queries, out], cache);
        let Some(kernels) = self.kernels(cache, [queries, out]) else {
            return run.exact();
        };
        if batch.bounds.n_short > 0 {
            run.decode(kernels, scratch)?;
        }
        if batch.bounds.n_long > 0 {
            run.prefill(kernels)?;
        }
        Ok(())
    }

    /// The kernels on tensor cores, where they are for such a layer.
    fn kernels(&self, cache: &CacheLayer, [queries, out]: [View<'_>; 2]) -> Option<FastKernels> {
        let shape = cache.shape();
        let is_aligned = queries.is_aligned() && out.is_aligned();
        FastKernels::find(shape.format, shape.head_dim)
            .filter(|_| is_aligned && self.precision == Precision::Fast)
    }

    /// # Panics
    /// As [`Self::run`].
    fn on<'a>(
        &'a self,
        device: &'a Device,
        properties: &'a Properties,
        batch: &'a AttentionBatch<'a>,
        [queries, out]: [View<'a>; 2],
        cache: &'a CacheLayer,
    ) -> Run<'a> {
        let shape = cache.shape();
        batch.check(shape);
        assert!(
            self.n_heads.is_multiple_of(shape.n_kv_heads),
            "{} heads for {} KV heads",
            self.n_heads,
            shape.n_kv_heads
        );
        if let Some(sinks) = self.sinks {
            check_len(sinks, self.n_heads, "sinks");
        }
        queries.check(batch.bounds.n_rows, self.n_heads * shape.head_dim);
        out.check(batch.bounds.n_rows, self.n_heads * shape.head_dim);
        Run {
            device,
            properties,
            batch,
            cache,
            queries,
            out,
            n_heads: self.n_heads,
            window: batch.tables.shape().groups[batch.group].window,
            sinks: self.sinks,
            fresh: None,
        }
    }
}

impl<'a> Run<'a> {
    /// The arguments that all kernels begin with.
    fn args(&self, spans: Arg<'a>) -> [Arg<'a>; 13] {
        let shape = self.cache.shape();
        let [keys, values] = self.cache.memories();
        [
            self.queries.start(),
            self.out.start(),
            self.queries.stride(),
            self.out.stride(),
            spans,
            self.batch.tables.blocks(),
            Arg::Memory(keys, 0),
            Arg::Memory(values, 0),
            Arg::U32(count(self.n_heads)),
            Arg::U32(count(shape.n_kv_heads)),
            Arg::U32(count(shape.head_dim)),
            Arg::U32(self.window.map_or(ALL_KEYS, count)),
            self.sinks.map_or(Arg::Null, |sinks| Arg::Memory(sinks, 0)),
        ]
    }

    fn exact(&self) -> Result<(), CudaError> {
        let n_rows = self.batch.bounds.n_rows;
        if n_rows == 0 {
            return Ok(());
        }
        let launch = Launch {
            grid: [count(self.n_heads), count(n_rows), 1],
            block: [EXACT_THREADS, 1, 1],
            shared: 0,
        };
        let kernel = match self.cache.shape().format {
            KvFormat::F32 => "attention_exact_f32",
            KvFormat::F16 => "attention_exact_f16",
            KvFormat::Bf16 => "attention_exact_bf16",
            KvFormat::Q8_0 => "attention_exact_q8_0",
            KvFormat::Fp8 => "attention_exact_fp8",
        };
        let (tables, group) = (self.batch.tables, self.batch.group);
        let args: [_; 14] = joined(self.args(tables.spans(group)), [tables.rows()]);
        // SAFETY: rows are there, as was checked; the tables name spans, and blocks of the cache.
        unsafe { self.device.launch(kernel, launch, &args) }
    }

    fn decode(
        &self,
        kernels: FastKernels,
        scratch: &mut AttentionScratch,
    ) -> Result<(), CudaError> {
        let (shape, bounds) = (self.cache.shape(), self.batch.bounds);
        let heads = (self.n_heads, shape.n_kv_heads);
        let plan = DecodeLaunch::new(kernels, self.properties, heads, self.window, bounds);
        let n_columns = plan.n_tiles * shape.n_kv_heads;
        scratch.reserve(&plan, n_columns * bounds.n_short, shape.head_dim)?;
        let [sums, states, counters] = scratch.memories();
        let launch = Launch {
            grid: [
                count(n_columns),
                count(bounds.n_short),
                count(plan.n_splits),
            ],
            block: [count(plan.n_warps * 32), 1, 1],
            shared: count(plan.shared),
        };
        let own = [
            Arg::U32(count(plan.budget)),
            Arg::Memory(sums, 0),
            Arg::Memory(states, 0),
            Arg::U32(count(plan.part_rows)),
            Arg::Memory(counters, 0),
        ];
        let spans = self.batch.tables.spans(self.batch.group);
        let args: [_; 18] = joined(self.args(spans), own);
        let args: [_; 32] = joined(args, self.fresh());
        // SAFETY: as above; there is room for the parts of all splits, and a counter for each column.
        // Keys and values of the step are there, as was checked, or in the cache.
        unsafe { self.device.launch(kernels.decode, launch, &args) }
    }

    /// Keys and values of the step, where the decode kernel stores them, and what it does to them.
    fn fresh(&self) -> [Arg<'a>; 14] {
        let (rows, recipe) = match self.fresh {
            Some(fresh) => {
                let (keys, values) = (fresh.keys, fresh.values);
                let rows = [keys.start(), values.start(), keys.stride(), values.stride()];
                (rows, fresh.append.recipe(fresh.n_pairs))
            }
            None => (
                [Arg::Null, Arg::Null, Arg::U32(0), Arg::U32(0)],
                Append::default().recipe(0),
            ),
        };
        joined(rows, recipe)
    }

    fn prefill(&self, kernels: FastKernels) -> Result<(), CudaError> {
        let (shape, bounds) = (self.cache.shape(), self.batch.bounds);
        let group = self.n_heads / shape.n_kv_heads;
        let plan = PrefillLaunch::new(kernels, self.properties, group, bounds);
        let launch = Launch {
            grid: [
                count(plan.n_blocks),
                count(shape.n_kv_heads),
                count(bounds.n_long),
            ],
            block: [count(plan.n_warps * 32), 1, 1],
            shared: count(plan.shared),
        };
        let stages = [Arg::U32(count(plan.n_stages))];
        let spans = self.batch.tables.long_spans(self.batch.group);
        let args: [_; 14] = joined(self.args(spans), stages);
        // SAFETY: as above.
        unsafe { self.device.launch(kernels.prefill, launch, &args) }
    }
}
