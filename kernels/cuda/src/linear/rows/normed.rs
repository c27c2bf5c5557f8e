//! Rows that are others, normalized: computed where they are read, so that a norm is no launch of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Rows, Source};
use crate::elementwise::{self, Store};
use crate::{Arg, CudaError, Memory};

/// What is normalized, and how.
#[derive(Debug)]
pub(super) struct Normed {
    values: Memory,
    weight: Memory,
    eps: f32,
    offset: f32,
    /// How often the rows have been changed, and how often when this was made.
    n_changes: Arc<AtomicU64>,
    n_before: u64,
}

impl Normed {
    /// # Panics
    /// If the rows were changed.
    pub(super) fn source(&self) -> Source<'_> {
        assert_eq!(
            self.n_changes.load(Ordering::Relaxed),
            self.n_before,
            "rows were changed before they were normalized"
        );
        Source {
            values: &self.values,
            norm: [
                Arg::Memory(&self.weight, 0),
                Arg::F32(self.eps),
                Arg::F32(self.offset),
            ],
        }
    }
}

impl Rows {
    /// From now on these are `x / sqrt(mean(x²) + eps) * (weight + offset)`, row by row. That is computed
    /// where they are read, by products and sums on their way, which must happen before `x` changes.
    ///
    /// # Errors
    /// Where there is no room for the values and the device has not enough memory, and of the driver.
    ///
    /// # Panics
    /// If the weights are fewer than a row's values, or the values of `x` were not
    /// [computed](Self::compute).
    pub fn normalize(
        &mut self,
        x: &Self,
        weight: &Memory,
        (eps, offset): (f32, f32),
    ) -> Result<(), CudaError> {
        crate::view::check_len(weight, x.width, "weights of a norm");
        self.reset(x.n_rows, x.width)?;
        self.normed = Some(Normed {
            values: x.values().share(),
            weight: weight.share(),
            eps,
            offset,
            n_changes: Arc::clone(&x.n_changes),
            n_before: x.n_changes.load(Ordering::Relaxed),
        });
        Ok(())
    }

    /// Computes the values, where the rows are yet to be normalized.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If what is normalized has changed.
    pub fn compute(&mut self) -> Result<&Memory, CudaError> {
        if self.normed.is_some() {
            self.write_normed(&self.values, Store::Replace)?;
            self.normed = None;
        }
        Ok(&self.values)
    }

    /// `self += x`
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If the shapes differ, the values of these rows were not [computed](Self::compute), or what `x`
    /// normalizes has changed.
    pub fn add(&mut self, x: &Self) -> Result<(), CudaError> {
        assert_eq!(
            [self.n_rows, self.width],
            [x.n_rows, x.width],
            "a sum of rows of one shape"
        );
        assert!(self.normed.is_none(), "rows that are yet to be normalized");
        let sum = self.change();
        match x.normed {
            Some(_) => x.write_normed(sum, Store::Add),
            None => elementwise::add(&x.device, sum, &x.values, x.n_rows * x.width),
        }
    }

    fn write_normed(&self, out: &Memory, store: Store) -> Result<(), CudaError> {
        let Some(normed) = &self.normed else {
            return Ok(());
        };
        elementwise::rms_norm(
            &self.device,
            normed.source().values,
            &normed.weight,
            (normed.eps, normed.offset),
            (self.n_rows, self.width),
            (out, store),
        )
    }
}
