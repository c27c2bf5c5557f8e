//! Products with matrices whose weights are plain numbers.
//!
//! 1. [`FloatMatrix::pack`] lays a matrix out in panels of [`FloatMatrix::PANEL`] rows: for each
//!    input, the weights of all rows of the panel follow each other.
//! 2. [`FloatMatrix::panel`] multiplies one panel with all rows of activations, in `f32`.
//! 3. Where a processor multiplies bfloat16 itself, weights of that type lie in pairs of inputs, and
//!    [`FloatMatrix::rounded_panel`] multiplies them with [activations of the same type](Bf16Rows).
//!
//! The lanes of a register are rows of the matrix, so a result is one sum in the order of its
//! inputs: it is the same bit for bit however many rows of activations are computed together.

mod bf16;
mod multiply;
mod pack;
#[cfg(test)]
mod tests;

pub use bf16::Bf16Rows;

use crate::memory::{Arena, HugeBytes, Source, in_slices};
use crate::simd::rows::{self, Row, WIDTH};
use crate::{Isa, Threads, simd};

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatFormat {
    /// 32 bits.
    F32,
    /// Half precision.
    F16,
    /// bfloat16.
    BF16,
}

impl FloatFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::BF16];

    /// Bytes of a weight.
    #[must_use]
    pub const fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// Runs code with the type that stands for a format.
macro_rules! for_format {
    ($format:expr, |$row:ident| $body:expr) => {{
        use $crate::simd::rows;
        match $format {
            FloatFormat::F32 => {
                type $row = rows::F32;
                $body
            }
            FloatFormat::F16 => {
                type $row = rows::F16;
                $body
            }
            FloatFormat::BF16 => {
                type $row = rows::Bf16;
                $body
            }
        }
    }};
}

/// `[n_rows, k]` weights.
#[derive(Debug)]
pub struct FloatMatrix {
    format: FloatFormat,
    n_rows: usize,
    k: usize,
    /// Whether the weights of two inputs lie side by side.
    in_pairs: bool,
    /// `[n_panels, k, PANEL]`, or `[n_panels, k / 2, PANEL, 2]`
    bytes: HugeBytes,
}

impl FloatMatrix {
    /// Rows of a panel.
    pub const PANEL: usize = WIDTH;

    /// Packs the rows of a file, `[n_rows, k]` little-endian numbers, into memory of `arena`, for
    /// an instruction set. Rows past the end of the last panel are zeros.
    ///
    /// # Errors
    /// When the system has no memory left.
    ///
    /// # Panics
    /// If `source` is not exactly the rows.
    pub fn pack(
        threads: &Threads,
        arena: &mut Arena,
        isa: Isa,
        format: FloatFormat,
        source: &dyn Source,
        [n_rows, k]: [usize; 2],
    ) -> std::io::Result<Self> {
        let bytes = source.bytes();
        let n_bytes = n_rows
            .checked_mul(k)
            .and_then(|n| n.checked_mul(format.n_bytes()));
        assert!(
            n_bytes == Some(bytes.len()),
            "{format:?}: {} bytes are not [{n_rows}, {k}]",
            bytes.len()
        );
        let in_pairs = isa == Isa::Avx512Bf16 && format == FloatFormat::BF16 && k.is_multiple_of(2);
        let n_panels = n_rows.div_ceil(Self::PANEL);
        let panel_bytes = k * Self::PANEL * format.n_bytes();
        let mut packed = arena.take(n_panels * panel_bytes)?;
        let row_bytes = k * format.n_bytes();
        in_slices(source, n_panels, Self::PANEL * row_bytes, |panels| {
            let rows = panels.start * Self::PANEL..n_rows.min(panels.end * Self::PANEL);
            let rows = &bytes[rows.start * row_bytes..rows.end * row_bytes];
            let packed = &mut packed[panels.start * panel_bytes..panels.end * panel_bytes];
            if in_pairs {
                // Two numbers of 16 bits go where one of 32 would.
                return pack::pack::<rows::F32>(threads, rows, k / 2, packed);
            }
            for_format!(format, |Format| pack::pack::<Format>(
                threads, rows, k, packed
            ));
        });
        Ok(Self {
            format,
            n_rows,
            k,
            in_pairs,
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

    /// How many panels there are; the last may be partly empty.
    #[must_use]
    pub fn n_panels(&self) -> usize {
        self.n_rows.div_ceil(Self::PANEL)
    }

    /// Bytes of the packed matrix: what a product with one row of activations reads.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether [`rounded_panel`](Self::rounded_panel) is the way to multiply.
    #[must_use]
    pub fn rounds_input(&self) -> bool {
        self.in_pairs
    }

    /// `tile[n][row] = Σ x[n] × weights[panel × PANEL + row]`, for all rows of `x`, `[n, k]`, in
    /// `f32`. Slow where the matrix [would have its input rounded](Self::rounds_input).
    ///
    /// # Panics
    /// If there is no such panel, or the sizes of `x` and `tile` are not `[n, k]` and `[n, PANEL]`.
    pub fn panel(&self, isa: Isa, panel: usize, x: &[f32], tile: &mut [f32]) {
        let n = tile.len() / Self::PANEL;
        assert!(
            tile.len().is_multiple_of(Self::PANEL) && x.len() == n * self.k,
            "{} values and a tile of {} for inputs of {}",
            x.len(),
            tile.len(),
            self.k
        );
        if self.in_pairs {
            return bf16::exact_panel(isa, self, panel, x, tile);
        }
        let weights = self.panel_bytes(panel);
        for_format!(self.format, |Format| {
            let k = self.k;
            let kernel = multiply::Panel::<Format>::new(weights, k, x, tile);
            simd::run(isa, kernel);
        });
    }

    /// The same with rounded activations.
    ///
    /// # Panics
    /// If there is no such panel, the matrix [does not have its input rounded](Self::rounds_input),
    /// the sizes of `x` and `tile` are not `[n, k]` and `[n, PANEL]`, or the machine does not have
    /// the instruction set.
    pub fn rounded_panel(&self, isa: Isa, panel: usize, x: &Bf16Rows, tile: &mut [f32]) {
        assert!(self.in_pairs && x.k() == self.k && tile.len() == x.n() * Self::PANEL);
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        match isa {
            // SAFETY: the machine has the set, checked above, as were sizes; the panel is whole.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => unsafe { bf16::panel(self.panel_bytes(panel), x, tile) },
            _ => bf16::scalar_panel(self, panel, x, tile),
        }
    }

    /// The weights of one row as `f32`: a row of an embedding.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not [`k`](Self::k) long.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(
            row < self.n_rows && out.len() == self.k,
            "row {row} of {}",
            self.n_rows
        );
        if self.in_pairs {
            let pairs = self.pairs(row / Self::PANEL);
            let values = pairs.flat_map(|pair| bf16::values(pair[row % Self::PANEL]));
            return out.iter_mut().zip(values).for_each(|(out, x)| *out = x);
        }
        let panel = self.panel_bytes(row / Self::PANEL);
        for_format!(self.format, |Format| {
            let rows = panel.chunks_exact(Format::BYTES);
            for (out, weights) in out.iter_mut().zip(rows) {
                *out = Format::get(weights, row % Self::PANEL);
            }
        });
    }

    /// The weights of a panel in pairs, as [`bf16::values`] reads them.
    fn pairs(&self, panel: usize) -> impl Iterator<Item = [u32; WIDTH]> + Clone {
        let words = self.panel_bytes(panel).as_chunks::<4>().0;
        let pairs = words.as_chunks::<WIDTH>().0.iter();
        pairs.map(|pair| pair.map(u32::from_ne_bytes))
    }

    fn panel_bytes(&self, panel: usize) -> &[u8] {
        let len = self.k * Self::PANEL * self.format.n_bytes();
        &self.bytes[panel * len..(panel + 1) * len]
    }
}
