//! Softmax attention over a paged cache.
//!
//! 1. [`CacheLayer`] holds the keys and values of a layer, in a [`KvFormat`].
//! 2. [`Rope`] has the angles of a step's positions, for all layers that turn by them.
//! 3. [`Append`] makes queries and keys ready and stores keys and values.
//! 4. [`Attention`] computes what the queries see, and may do the third in the same launch.
//!
//! Keys are split among many blocks of threads where a span has few rows (decode, drafts), and gone
//! through by one where it has many (prefill); both on tensor cores, in the 16-bit type of the cache
//! (half precision for eight bits). Float32 throughout, one query at a time, is what
//! [`Precision::Exact`](crate::Precision::Exact) asks for, and what takes their place for shapes that
//! they are not made for. What a query gets depends on its span alone, not on others in the step.

mod append;
mod cache;
mod rope;
mod run;
mod scratch;
mod shape;
#[cfg(all(test, feature = "emulated"))]
mod tests;

pub use append::{Append, HeadNorms, QueryGrowth};
pub use cache::{CacheLayer, CacheShape, KvFormat};
pub use rope::{Rope, RopeTable};
pub use run::Attention;
pub use scratch::AttentionScratch;

use crate::{StepBounds, StepTables};

/// A step, as a layer sees it.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBatch<'a> {
    /// Rows, spans and blocks.
    pub tables: &'a StepTables,
    /// What launches are made for.
    pub bounds: &'a StepBounds,
    /// The layer's group.
    pub group: usize,
}

impl AttentionBatch<'_> {
    /// # Panics
    /// If launches for these bounds would not do the step, or blocks are beyond the cache.
    fn check(&self, cache: &CacheShape) {
        self.tables.check(self.bounds);
        let n_blocks = self.tables.shape().groups[self.group].n_blocks;
        assert!(
            n_blocks <= cache.n_blocks,
            "tables name {n_blocks} blocks, the cache has {}",
            cache.n_blocks
        );
    }
}
