//! Matrix products of quantized weights with activations rounded to eight bits.
//!
//! 1. [`Int8Matrix::pack`] lays a matrix out in panels of rows.
//! 2. [`Int8Rows::quantize`] rounds activations, once for all matrices that read them.
//! 3. [`Int8Matrix::panel`] multiplies one panel with all rows of activations;
//!    [`Int8Matrix::exact_panel`] does so with the activations as they are, to verify the other.
//!
//! Weights are `scale × code + offset`, with scale and offset for each 16 or 32 values of a row;
//! activations are `scale × code` for each 32. So a sum over 32 is one sum of integer products,
//! scaled, and the offset times the sum of the activations. Where one value outweighs a row, a
//! block is rounded twice; the second products have a sum of their own, which is added last.
//!
//! The sum for one weight row and one row of activations is taken in the same order whatever else
//! is computed beside it: a row's result does not depend on the batch.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod layout;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;
mod twice;
mod walk;

pub use rows::Int8Rows;

use crate::memory::{Arena, HugeBytes, Source, in_slices};
use crate::threads::SharedSlice;
use crate::{BlockFormat, Isa, Threads};
use layout::{Layout, PANEL, WIDE_PANEL};

/// Panels that are packed as one task.
const PANELS_PER_TASK: usize = 16;

/// `[n_rows, k]` weights in panels of rows.
#[derive(Debug)]
pub struct Int8Matrix {
    format: BlockFormat,
    layout: Layout,
    n_rows: usize,
    k: usize,
    bytes: HugeBytes,
}

impl Int8Matrix {
    /// Whether there are kernels for a format.
    #[must_use]
    pub fn supports(format: BlockFormat) -> bool {
        Layout::of(format).is_some()
    }

    /// Packs the rows of a file, `[n_rows, k]` in blocks of `format`, for an instruction set, into
    /// memory of `arena`. Rows past the end of the last panel are zeros.
    ///
    /// # Errors
    /// When the system has no memory left.
    ///
    /// # Panics
    /// If the format is not [supported](Self::supports), or `source` is not exactly the rows.
    pub fn pack(
        threads: &Threads,
        arena: &mut Arena,
        isa: Isa,
        format: BlockFormat,
        source: &dyn Source,
        [n_rows, k]: [usize; 2],
    ) -> std::io::Result<Self> {
        let bytes = source.bytes();
        let layout = Layout::for_isa(format, isa).expect("a format with integer kernels");
        let row_bytes = k / format.block_len() * format.block_bytes();
        assert!(
            k.is_multiple_of(format.block_len()) && bytes.len() == n_rows * row_bytes,
            "{format}: {} bytes are not [{n_rows}, {k}]",
            bytes.len()
        );
        let n_panels = n_rows.div_ceil(layout.panel);
        let panel_bytes = k / layout.chunk_len * layout.chunk_bytes();
        let mut packed = arena.take(n_panels * panel_bytes)?;
        let shared = SharedSlice::new(&mut packed);
        let pack_panel = |panel: usize| {
            // SAFETY: each panel belongs to one task.
            let out = unsafe { shared.part(panel * panel_bytes..(panel + 1) * panel_bytes) };
            let row = |row: usize| {
                let row = panel * layout.panel + row;
                (row < n_rows).then(|| &bytes[row * row_bytes..(row + 1) * row_bytes])
            };
            match layout.panel {
                WIDE_PANEL => pack::pack_panel::<WIDE_PANEL>(format, layout, row, out),
                _ => pack::pack_panel::<PANEL>(format, layout, row, out),
            }
        };
        in_slices(source, n_panels, layout.panel * row_bytes, |panels| {
            threads.run(panels.len().div_ceil(PANELS_PER_TASK), &|task, _| {
                let first = panels.start + task * PANELS_PER_TASK;
                (first..panels.end.min(first + PANELS_PER_TASK)).for_each(pack_panel);
            });
        });
        Ok(Self {
            format,
            layout,
            n_rows,
            k,
            bytes: packed,
        })
    }

    /// How many rows there are.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows of a panel.
    #[must_use]
    pub fn panel_len(&self) -> usize {
        self.layout.panel
    }

    /// How many panels there are; the last may be partly empty.
    #[must_use]
    pub fn n_panels(&self) -> usize {
        self.n_rows.div_ceil(self.panel_len())
    }

    /// Bytes of the packed matrix: what a product with one row of activations reads.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// `tile[n][row] = Σ x[n] × weights[panel × panel_len + row]`, for all rows of `x`.
    ///
    /// `scratch` is the calling thread's own; it grows to what the largest matrix needs.
    ///
    /// # Panics
    /// If there is no such panel, or the sizes of `x` and `tile` are not `[n, k]` and
    /// `[n, panel_len]`, or the matrix was packed for an instruction set with other panels. The
    /// scalar one reads all.
    pub fn panel(
        &self,
        isa: Isa,
        panel: usize,
        x: &Int8Rows,
        tile: &mut [f32],
        scratch: &mut Vec<u8>,
    ) {
        assert!(x.k() == self.k && tile.len() == x.n() * self.panel_len());
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        let readable = isa == Isa::Scalar || Layout::for_isa(self.format, isa) == Some(self.layout);
        assert!(readable, "packed for another set than {}", isa.name());
        match isa {
            Isa::Scalar => scalar::panel(self, panel, x, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::panel::<avx2::Maddubs>(self, panel, x, tile, scratch),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => avx2::panel::<avx2::Dpbusd>(self, panel, x, tile, scratch),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => avx512::panel(self, panel, x, tile),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::panel::<neon::Smull>(self, panel, x, tile, scratch),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDot => neon::panel::<neon::Sdot>(self, panel, x, tile, scratch),
            #[allow(unreachable_patterns)] // Each architecture lacks those of the others.
            _ => unreachable!("available, checked above"),
        }
    }

    /// As [`panel`](Self::panel), on activations in float32: `x` is `[n, k]`.
    ///
    /// # Panics
    /// As [`panel`](Self::panel).
    pub fn exact_panel(&self, panel: usize, x: &[f32], tile: &mut [f32]) {
        assert!(x.len() / self.k * self.panel_len() == tile.len());
        scalar::exact_panel(self, panel, x, tile);
    }

    /// The bytes of a panel.
    fn panel_bytes(&self, panel: usize) -> &[u8] {
        let len = self.k / self.layout.chunk_len * self.layout.chunk_bytes();
        &self.bytes[panel * len..(panel + 1) * len]
    }

    /// The `sub`-th 32 values of a panel's rows.
    fn sub_block<const PANEL: usize>(&self, panel: usize, sub: usize) -> scalar::SubBlock<PANEL> {
        let (subs, len) = (self.layout.subs(), self.layout.chunk_bytes());
        let chunk = &self.panel_bytes(panel)[sub / subs * len..][..len];
        scalar::SubBlock::read(self.format, chunk, self.layout.header, sub % subs)
    }
}
