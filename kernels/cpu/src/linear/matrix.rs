//! A weight matrix, whatever its kind.

use std::io;

use super::plain::PlainMatrix;
use super::team::{Input, Scratch};
use crate::{Arena, BlockFormat, FloatFormat, FloatMatrix, Int8Matrix, Isa, Source, Threads};

/// How a file stores the values of a matrix. All are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the usual ones and say all there is to say.
pub enum Encoding {
    F32,
    F16,
    BF16,
    /// Quantized in blocks along a row.
    Block(BlockFormat),
}

impl Encoding {
    /// Bytes of `k` values; `None` where they are no whole number of blocks.
    pub(super) fn row_bytes(self, k: usize) -> Option<usize> {
        match self {
            Self::F32 => k.checked_mul(4),
            Self::F16 | Self::BF16 => k.checked_mul(2),
            Self::Block(format) => k
                .is_multiple_of(format.block_len())
                .then(|| k / format.block_len() * format.block_bytes()),
        }
    }
}

/// How activations are rounded for a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Not at all.
    None,
    /// To eight bits, with a scale for each 32.
    Int8,
    /// To bfloat16.
    Bf16,
}

/// `[n_rows, k]` weights, packed in panels of rows for the kernel that multiplies with them.
#[derive(Debug)]
pub struct Matrix {
    n_rows: usize,
    k: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Int8(Int8Matrix),
    Float(FloatMatrix),
    Plain(PlainMatrix),
}

impl Matrix {
    /// Takes over the bytes of a file, `[n_rows, k]`, for products with an instruction set: packed
    /// into memory of `arena` and released, or left where they are if their format has no kernel.
    ///
    /// # Errors
    /// When the system has no memory left.
    ///
    /// # Panics
    /// If `source` is not exactly that many values.
    pub fn pack(
        threads: &Threads,
        arena: &mut Arena,
        isa: Isa,
        encoding: Encoding,
        source: impl Source + 'static,
        [n_rows, k]: [usize; 2],
    ) -> io::Result<Self> {
        let bytes = source.bytes();
        let row_bytes = encoding.row_bytes(k);
        assert!(
            row_bytes.is_some_and(|row_bytes| bytes.len() == n_rows * row_bytes),
            "{encoding:?}: {} bytes are not [{n_rows}, {k}]",
            bytes.len()
        );
        let shape = [n_rows, k];
        let mut float = |format| {
            FloatMatrix::pack(threads, arena, isa, format, &source, shape).map(Kind::Float)
        };
        let kind = match encoding {
            Encoding::F32 => float(FloatFormat::F32)?,
            Encoding::F16 => float(FloatFormat::F16)?,
            Encoding::BF16 => float(FloatFormat::BF16)?,
            Encoding::Block(format) if Int8Matrix::supports(format) => Kind::Int8(
                Int8Matrix::pack(threads, arena, isa, format, &source, shape)?,
            ),
            Encoding::Block(format) => Kind::Plain(PlainMatrix::new(format, source, shape)),
        };
        Ok(Self { n_rows, k, kind })
    }

    /// How many rows there are: the width of a product.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row: the width of the input.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes that a product with one row reads.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match &self.kind {
            Kind::Int8(matrix) => matrix.n_bytes(),
            Kind::Float(matrix) => matrix.n_bytes(),
            Kind::Plain(matrix) => matrix.n_bytes(),
        }
    }

    /// What the kernel works on where activations may be rounded.
    #[must_use]
    pub fn rounding(&self) -> Rounding {
        match &self.kind {
            Kind::Int8(_) => Rounding::Int8,
            Kind::Float(matrix) if matrix.rounds_input() => Rounding::Bf16,
            Kind::Float(_) | Kind::Plain(_) => Rounding::None,
        }
    }

    /// Rows of a panel.
    pub(super) fn panel_len(&self) -> usize {
        match &self.kind {
            Kind::Int8(matrix) => matrix.panel_len(),
            Kind::Float(_) => FloatMatrix::PANEL,
            Kind::Plain(_) => PlainMatrix::PANEL,
        }
    }

    pub(super) fn n_panels(&self) -> usize {
        self.n_rows.div_ceil(self.panel_len())
    }

    /// `tile[n][row] = Σ x[n] × weights[panel × panel_len + row]`
    pub(super) fn panel(
        &self,
        isa: Isa,
        panel: usize,
        x: &Input<'_>,
        tile: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match &self.kind {
            Kind::Int8(matrix) => match x.int8 {
                Some(x) => matrix.panel(isa, panel, x, tile, &mut scratch.bytes),
                None => matrix.exact_panel(panel, x.values, tile),
            },
            Kind::Float(matrix) => match x.bf16.filter(|_| matrix.rounds_input()) {
                Some(x) => matrix.rounded_panel(isa, panel, x, tile),
                None => matrix.panel(isa, panel, x.values, tile),
            },
            Kind::Plain(matrix) => matrix.panel(panel, x.values, tile, &mut scratch.floats),
        }
    }
}
