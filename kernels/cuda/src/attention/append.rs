use super::{AttentionBatch, CacheLayer, CacheShape, KvFormat, Rope};
use crate::view::{View, check_len, count, joined, optional};
use crate::{Arg, CudaError, Device, Launch, Memory};

/// Heads of a block of threads, a warp each.
const HEADS_PER_BLOCK: usize = 4;

/// Queries and keys made ready, keys and values stored.
///
/// In this order: norm, rotation, growth of the queries, scale of the scores (which is a factor on
/// the queries here).
#[derive(Clone, Copy, Debug, Default)]
pub struct Append<'a> {
    /// Query heads.
    pub n_heads: usize,
    /// Norms of each head.
    pub norms: HeadNorms<'a>,
    /// Position encoding, already [updated](Rope::update).
    pub rope: Option<&'a Rope>,
    /// Queries grow with their position.
    pub growth: Option<QueryGrowth>,
    /// Factor of the scores.
    pub scale: f32,
}

/// Root mean square norms over each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadNorms<'a> {
    /// Weights of queries, as many as a head has dimensions.
    pub query: Option<&'a Memory>,
    /// Weights of keys.
    pub key: Option<&'a Memory>,
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weights.
    pub offset: f32,
}

/// `q *= 1 + beta * ln(1 + floor(position / period))`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryGrowth {
    /// Strength.
    pub beta: f32,
    /// Positions per step.
    pub period: usize,
}

impl<'a> Append<'a> {
    /// Changes `queries` in place and stores `keys` and `values` at their positions.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small, more dimensions turn than a head has, or launches for these bounds
    /// would not do the step.
    pub fn run(
        &self,
        device: &Device,
        batch: &AttentionBatch<'_>,
        [queries, keys, values]: [View<'_>; 3],
        cache: &CacheLayer,
    ) -> Result<(), CudaError> {
        let shape = cache.shape();
        let n_pairs = self.check(batch, shape);
        let n_rows = batch.bounds.n_rows;
        queries.check(n_rows, self.n_heads * shape.head_dim);
        keys.check(n_rows, shape.n_kv_heads * shape.head_dim);
        values.check(n_rows, shape.n_kv_heads * shape.head_dim);
        if n_rows == 0 {
            return Ok(());
        }
        let n_heads = self.n_heads + 2 * shape.n_kv_heads;
        let launch = Launch {
            grid: [count(n_heads.div_ceil(HEADS_PER_BLOCK)), count(n_rows), 1],
            block: [count(HEADS_PER_BLOCK * 32), 1, 1],
            shared: 0,
        };
        let [cached_keys, cached_values] = cache.memories();
        let rows = [
            queries.start(),
            keys.start(),
            values.start(),
            queries.stride(),
            keys.stride(),
            values.stride(),
        ];
        let places = [
            batch.tables.rows(),
            batch.tables.places(batch.group),
            Arg::Memory(cached_keys, 0),
            Arg::Memory(cached_values, 0),
            Arg::U32(count(self.n_heads)),
            Arg::U32(count(shape.n_kv_heads)),
            Arg::U32(count(shape.head_dim)),
        ];
        let what: [_; 16] = joined(rows, self.recipe(n_pairs));
        let args: [_; 23] = joined(what, places);
        // SAFETY: rows, weights and angles are there, as was checked; the tables name blocks that the
        // cache has.
        unsafe { device.launch(kernel(shape.format), launch, &args) }
    }

    /// What `RECIPE_PARAMETERS` in `cu/heads.cuh` declares.
    pub(super) fn recipe(&self, n_pairs: usize) -> [Arg<'a>; 10] {
        let (beta, period) = self
            .growth
            .map_or((0.0, 0), |growth| (growth.beta, count(growth.period)));
        [
            optional(self.norms.query),
            optional(self.norms.key),
            Arg::F32(self.norms.eps),
            Arg::F32(self.norms.offset),
            self.rope.map_or(Arg::Null, Rope::turns),
            Arg::U32(count(n_pairs)),
            Arg::U32(self.rope.is_some_and(Rope::interleaved).into()),
            Arg::F32(self.scale),
            Arg::F32(beta),
            Arg::U32(period),
        ]
    }

    /// The pairs that turn.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub(super) fn check(&self, batch: &AttentionBatch<'_>, shape: &CacheShape) -> usize {
        batch.check(shape);
        for weight in [self.norms.query, self.norms.key].into_iter().flatten() {
            check_len(weight, shape.head_dim, "weights of a head's norm");
        }
        assert!(
            self.growth.is_none_or(|growth| growth.period > 0),
            "queries that grow after no positions"
        );
        let n_pairs = self
            .rope
            .map_or(0, |rope| rope.n_pairs(batch.bounds.n_rows));
        assert!(
            2 * n_pairs <= shape.head_dim,
            "{n_pairs} pairs turn in heads of {}",
            shape.head_dim
        );
        n_pairs
    }
}

fn kernel(format: KvFormat) -> &'static str {
    match format {
        KvFormat::F32 => "append_f32",
        KvFormat::F16 => "append_f16",
        KvFormat::Bf16 => "append_bf16",
        KvFormat::Q8_0 => "append_q8_0",
        KvFormat::Fp8 => "append_fp8",
    }
}
