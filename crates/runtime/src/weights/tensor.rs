//! Tensors that lie in a mapped file.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ponder_kernels_cpu::{BlockFormat, GroupScales};

use super::convert;
use super::error::{Fault, Result, WeightsError, quoted};
use super::scales::BlockScales;
use super::source::Span;

/// How a tensor's values are stored. All are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the usual ones and say all there is to say.
pub enum TensorType {
    F32,
    F16,
    BF16,
    F8E4M3,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// Quantized in blocks along the last dimension.
    Block(BlockFormat),
}

impl TensorType {
    /// How many values are stored together: 1, or the length of a block.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Block(format) => format.block_len(),
            _ => 1,
        }
    }

    /// How many bytes [`block_len`](Self::block_len) values take.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F8E4M3 | Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::Block(format) => format.block_bytes(),
        }
    }

    /// The name as people write it: `F32`, `BF16`, `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F64 => "F64",
            Self::I8 => "I8",
            Self::I16 => "I16",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::U8 => "U8",
            Self::U16 => "U16",
            Self::U32 => "U32",
            Self::U64 => "U64",
            Self::Bool => "BOOL",
            Self::Block(format) => format.name(),
        }
    }

    /// The bytes that `n_values` take; `None` if they are no whole number of blocks or overflow.
    pub(super) fn bytes_for(self, n_values: usize) -> Option<usize> {
        let whole = n_values.is_multiple_of(self.block_len());
        whole.then(|| (n_values / self.block_len()).checked_mul(self.block_bytes()))?
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A tensor in a mapped file: a cheap handle that keeps the mapping alive and copies nothing.
#[derive(Clone)]
pub struct MappedTensor {
    name: Arc<str>,
    ty: TensorType,
    shape: Arc<[usize]>,
    data: Span,
    scales: Option<BlockScales>,
}

impl MappedTensor {
    /// The caller has checked that `data` holds exactly the shape's values, that rows are whole
    /// blocks, and that the product of the dimensions (zeros counted as ones) does not overflow.
    pub(super) fn new(name: Arc<str>, ty: TensorType, shape: &[usize], data: Span) -> Self {
        debug_assert_eq!(ty.bytes_for(shape.iter().product()), Some(data.len()));
        Self {
            name,
            ty,
            shape: shape.into(),
            data,
            scales: None,
        }
    }

    /// The same matrix with values that are multiplied by factors; the caller has checked that there
    /// is one for each block.
    pub(super) fn with_scales(self, scales: BlockScales) -> Self {
        let scales = Some(scales);
        Self { scales, ..self }
    }

    /// The name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// How the values are stored.
    #[must_use]
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// The dimensions, outermost first: a linear layer is `[out, in]` from either file format.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stored bytes, in the file's own alignment. Of values of eight bits they are not all: these
    /// may have factors elsewhere.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// Whether values are of eight bits (E4M3), and no group of so many of a row has several factors.
    #[must_use]
    pub fn has_group_scales(&self, group: usize) -> bool {
        let mut scales = self.scales.iter();
        self.ty == TensorType::F8E4M3
            && scales.all(|scales| scales.suit_groups(group, self.row_len()))
    }

    /// The factors of values of eight bits, for groups of so many values of a row; `None` unless it
    /// [has](Self::has_group_scales) them.
    #[must_use]
    pub fn group_scales(&self, group: usize) -> Option<GroupScales> {
        let shape @ [n_rows, row_len] = [self.n_rows(), self.row_len()];
        self.has_group_scales(group).then(|| match &self.scales {
            Some(scales) => scales.of_groups(group, shape),
            None => GroupScales::ones(n_rows, row_len.div_ceil(group)),
        })
    }

    /// Tells the system that the mapped pages of these bytes of the tensor will hardly be read again,
    /// because a backend has a layout of its own: they no longer count as memory of this process,
    /// and are read from the file again if they are needed after all.
    pub fn release(&self, part: Range<usize>) {
        self.data.release(part);
    }

    /// Tells the system that rows will be read here and there, so that one does not bring in a
    /// huge page.
    pub fn will_be_looked_up(&self) {
        self.data.advise_small_pages();
    }

    /// The file that the tensor lies in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.data.path()
    }

    /// How many values the tensor has.
    #[must_use]
    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The last dimension: how many values a row has. 1 for a scalar.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The product of all dimensions but the last.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        let leading = self.shape.len().saturating_sub(1);
        self.shape[..leading].iter().product()
    }

    /// Writes rows of the matrix [[`n_rows`](Self::n_rows), [`row_len`](Self::row_len)] to `out`,
    /// dequantized or converted to `f32` (integers to the nearest one).
    ///
    /// # Panics
    /// If `rows` is not within the matrix or `out` has not exactly that many values.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let (n_rows, row_len) = (self.n_rows(), self.row_len());
        assert!(
            rows.start <= rows.end && rows.end <= n_rows,
            "{}: rows {rows:?} of {n_rows}",
            self.name
        );
        assert!(
            out.len() == rows.len() * row_len,
            "{}: {} values for {} rows of {row_len}",
            self.name,
            out.len(),
            rows.len()
        );
        let row_bytes = row_len / self.ty.block_len() * self.ty.block_bytes();
        let bytes = &self.bytes()[rows.start * row_bytes..rows.end * row_bytes];
        convert::to_f32(self.ty, bytes, out);
        if let Some(scales) = &self.scales {
            scales.apply(rows, row_len, out);
        }
    }

    /// All values in order, dequantized or converted to `f32`.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.n_values()];
        self.read_rows(0..self.n_rows(), &mut out);
        out
    }

    /// The part `range` of the outermost dimension, as a tensor of the same name: one of the
    /// matrices in a fused one, or one expert of a stack.
    ///
    /// # Errors
    /// If the tensor is a scalar, does not reach so far, or would be cut inside a block.
    pub fn slice_outer(&self, range: Range<usize>) -> Result<Self> {
        self.try_slice(&range).ok_or_else(|| {
            WeightsError::Slice(Fault::new(
                self.path(),
                format!("tensor {}", quoted(self.name.as_bytes())),
                format!("a tensor that can be cut to {range:?} along its first dimension"),
                format!("{} of shape {:?}", self.ty, self.shape),
                "the file's shapes do not fit its architecture; use another file of the model",
            ))
        })
    }

    /// The part `index` of the outermost dimension, with that dimension dropped: one expert of a
    /// stack, as a matrix.
    ///
    /// # Errors
    /// As [`slice_outer`](Self::slice_outer).
    pub fn index_outer(&self, index: usize) -> Result<Self> {
        let mut one = self.slice_outer(index..index + 1)?;
        one.shape = one.shape[1..].into();
        Ok(one)
    }

    fn try_slice(&self, range: &Range<usize>) -> Option<Self> {
        let (outer, inner) = self.shape.split_first()?;
        if range.start > range.end || range.end > *outer {
            return None;
        }
        let stride: usize = inner.iter().product();
        let start = self.ty.bytes_for(range.start * stride)?;
        let len = self.ty.bytes_for(range.len() * stride)?;
        let mut shape = self.shape.to_vec();
        shape[0] = range.len();
        let data = self.data.sub(start, len)?;
        Some(Self {
            name: Arc::clone(&self.name),
            ty: self.ty,
            shape: shape.into(),
            data,
            scales: self.scales.as_ref().map(|scales| scales.from(range.start)),
        })
    }
}

impl fmt::Debug for MappedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.name, self.ty, self.shape)
    }
}
