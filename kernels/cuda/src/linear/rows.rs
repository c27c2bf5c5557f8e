//! Activations, and beside them the same numbers rounded, for as long as they are the same.

mod fp8;
mod half;
mod maps;
mod normed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::UNIT;
use crate::view::joined;
use crate::{Arg, CudaError, Device, Launch, Memory, TensorMap};
pub(super) use fp8::{Fp8Rows, Fp8Scale};
pub(super) use half::Halves;
use maps::RowMaps;
use normed::Normed;

/// Threads of a block of the kernels that round.
const THREADS: u32 = 512;

/// `[n_rows, width]` of float32 on a device.
#[derive(Debug)]
pub struct Rows {
    device: Device,
    n_rows: usize,
    width: usize,
    /// Planned for the largest batch; grows if there is a larger one.
    values: Memory,
    int8: Option<Int8>,
    /// Whether these are the present values.
    has_int8: bool,
    /// `[n_rows, width]`, rows filled up with zeros to a multiple of 32 values.
    bf16: Option<Memory>,
    /// Likewise.
    has_bf16: bool,
    maps: RowMaps,
    f16: Option<Halves>,
    /// Likewise.
    has_f16: bool,
    fp8: Option<Fp8Rows>,
    /// Likewise, and which scales they have.
    has_fp8: Option<Fp8Scale>,
    /// What the rows are, as long as their values have not been computed.
    normed: Option<Normed>,
    /// How often they have been changed.
    n_changes: Arc<AtomicU64>,
}

/// What rows are made of: others, and what a norm makes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) values: &'a Memory,
    /// Weight, epsilon and offset of the norm, as kernels take them; no weight where there is none.
    pub(super) norm: [Arg<'a>; 3],
}

/// Activations as scale × code, with a scale for each 32 (a unit). Units in which one value outweighs
/// the row are rounded twice: what the first rounding took, rounded in turn.
#[derive(Debug)]
pub(super) struct Int8 {
    /// `[n_rows, width]`
    pub(super) codes: Memory,
    /// `[n_rows, width / 32]`: the scale, whose sign bit is set if there is a second rounding, and the
    /// sums of the codes in each half of the unit, 16 bits each.
    pub(super) meta: Memory,
    /// The second roundings, where there are.
    pub(super) again_codes: Memory,
    pub(super) again_meta: Memory,
}

impl Rows {
    /// Room for `max_rows` rows of `width`; there are none yet.
    ///
    /// # Errors
    /// Where the device has not enough memory, and of the driver.
    pub fn new(device: &Device, max_rows: usize, width: usize) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            n_rows: 0,
            width,
            values: device.alloc((max_rows * width * 4).max(4))?,
            int8: None,
            has_int8: false,
            bf16: None,
            has_bf16: false,
            f16: None,
            has_f16: false,
            fp8: None,
            has_fp8: None,
            normed: None,
            n_changes: Arc::default(),
            maps: RowMaps::default(),
        })
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows, to be read. The memory may be longer.
    ///
    /// # Panics
    /// If their values were not [computed](Self::compute).
    pub fn values(&self) -> &Memory {
        assert!(self.normed.is_none(), "rows that are yet to be normalized");
        &self.values
    }

    /// Makes room for `n_rows` rows of `width`, to be overwritten: what was there is lost. Layers of
    /// different widths may share a buffer.
    ///
    /// # Errors
    /// Where there is no room yet and the device has not enough memory, and of the driver.
    pub fn reset(&mut self, n_rows: usize, width: usize) -> Result<&Memory, CudaError> {
        let len = n_rows * width * 4;
        if self.values.len() < len {
            self.values = self.device.alloc(len)?;
        }
        (self.n_rows, self.width) = (n_rows, width);
        Ok(self.change())
    }

    /// The rows, to be changed: what they were rounded to is forgotten.
    pub fn change(&mut self) -> &Memory {
        (self.has_int8, self.has_bf16) = (false, false);
        (self.has_f16, self.has_fp8) = (false, None);
        self.normed = None;
        self.n_changes.fetch_add(1, Ordering::Relaxed);
        &self.values
    }

    /// What the rows are made of, for a kernel that normalizes by itself.
    pub(super) fn source(&self) -> Source<'_> {
        Source::of(&self.values, self.normed.as_ref())
    }

    /// The rows rounded to eight bits, unless that was done already.
    ///
    /// # Panics
    /// If the width is no multiple of 32.
    pub(super) fn int8(&mut self) -> Result<&Int8, CudaError> {
        assert!(self.width.is_multiple_of(UNIT));
        let capacity = self.n_rows * self.width;
        let int8 = match self.int8.take() {
            Some(int8) if int8.codes.len() >= capacity => int8,
            _ => Int8::new(&self.device, capacity.max(self.values.len() / 4))?,
        };
        let int8 = self.int8.insert(int8);
        if !self.has_int8 {
            let source = Source::of(&self.values, self.normed.as_ref());
            int8.round(&self.device, source, [self.n_rows, self.width])?;
            self.has_int8 = true;
        }
        Ok(int8)
    }

    /// The rows rounded to bfloat16, unless that was done already.
    pub(super) fn bf16(&mut self) -> Result<&Memory, CudaError> {
        let padded = self.width.next_multiple_of(UNIT);
        let len = self.n_rows * padded * 2;
        let bf16 = match self.bf16.take() {
            Some(bf16) if bf16.len() >= len => bf16,
            _ => {
                self.maps = RowMaps::default();
                self.device.alloc(len.max(self.values.len() / 2))?
            }
        };
        let bf16 = self.bf16.insert(bf16);
        if !self.has_bf16 && self.n_rows > 0 {
            let launch = by_row(self.n_rows, 0);
            let source = Source::of(&self.values, self.normed.as_ref());
            let to = [Arg::Memory(bf16, 0), Arg::U32(padded as u32)];
            let args: [_; 7] = joined(source.args(self.width), to);
            // SAFETY: the arguments are those of the kernel; it reads `n_rows` rows of `width`, which
            // `reset` made room for, and as many weights, and writes as many of `padded`, for which there is room.
            unsafe { self.device.launch("round_bf16", launch, &args)? };
            self.has_bf16 = true;
        }
        Ok(bf16)
    }

    /// The rows in half precision, unless that was done already.
    pub(super) fn f16(&mut self) -> Result<&Halves, CudaError> {
        self.compute()?;
        let shape = [self.n_rows, self.width];
        let halves = match self.f16.take() {
            Some(halves) if halves.has_room(shape) => halves,
            _ => Halves::new(&self.device, shape, self.values.len() / 4)?,
        };
        let halves = self.f16.insert(halves);
        if !self.has_f16 {
            halves.round(&self.device, &self.values, shape)?;
            self.has_f16 = true;
        }
        Ok(halves)
    }

    /// The rows in FP8 with these scales, unless that was done already.
    pub(super) fn fp8(&mut self, scale: Fp8Scale) -> Result<&Fp8Rows, CudaError> {
        let shape = [self.n_rows, self.width];
        let fp8 = match self.fp8.take() {
            Some(fp8) if fp8.has_room(shape) => fp8,
            _ => Fp8Rows::new(&self.device, shape, self.values.len() / 4)?,
        };
        let fp8 = self.fp8.insert(fp8);
        if self.has_fp8 != Some(scale) {
            let source = Source::of(&self.values, self.normed.as_ref());
            fp8.round(&self.device, source, shape, scale)?;
            self.has_fp8 = Some(scale);
        }
        Ok(fp8)
    }

    /// The map of the rows in FP8 with a float for each 128 values, two of which are a number of 16 bits to
    /// it, as [`RowMaps::of`] gives it, and these scales.
    pub(super) fn fp8_map(&mut self) -> Result<Option<(&TensorMap, &Memory)>, CudaError> {
        self.fp8(Fp8Scale::Float)?;
        match &mut self.fp8 {
            Some(fp8) => fp8.map(&self.device, self.width),
            None => Ok(None),
        }
    }

    /// With which scales a kernel had the rows in FP8 last, if one had.
    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn has_fp8(&self) -> Option<Fp8Scale> {
        self.has_fp8
    }

    /// The map of the rows rounded to bfloat16, as [`RowMaps::of`] gives it.
    pub(super) fn bf16_map(&mut self) -> Result<Option<&TensorMap>, CudaError> {
        self.bf16()?;
        let padded = self.width.next_multiple_of(UNIT);
        match &self.bf16 {
            Some(memory) => self.maps.of(&self.device, memory, padded),
            None => Ok(None),
        }
    }
}

impl<'a> Source<'a> {
    fn of(values: &'a Memory, normed: Option<&'a Normed>) -> Self {
        match normed {
            Some(normed) => normed.source(),
            None => Self {
                values,
                norm: [Arg::Null, Arg::F32(0.0), Arg::F32(0.0)],
            },
        }
    }

    /// What kernels that round rows of this width take first.
    fn args(self, width: usize) -> [Arg<'a>; 5] {
        let [weight, eps, offset] = self.norm;
        let values = Arg::Memory(self.values, 0);
        [values, Arg::U32(width as u32), weight, eps, offset]
    }
}

/// How they are launched: a block for each row.
fn by_row(n_rows: usize, shared: u32) -> Launch {
    Launch {
        grid: [n_rows as u32, 1, 1],
        block: [THREADS, 1, 1],
        shared,
    }
}

impl Int8 {
    fn new(device: &Device, n_values: usize) -> Result<Self, CudaError> {
        let (codes, meta) = (n_values.max(UNIT), n_values.div_ceil(UNIT).max(1) * 8);
        Ok(Self {
            codes: device.alloc(codes)?,
            meta: device.alloc(meta)?,
            again_codes: device.alloc(codes)?,
            again_meta: device.alloc(meta)?,
        })
    }

    fn round(
        &self,
        device: &Device,
        x: Source<'_>,
        [n, width]: [usize; 2],
    ) -> Result<(), CudaError> {
        if n == 0 {
            return Ok(());
        }
        let launch = by_row(n, (width / UNIT) as u32 * 4 + THREADS / 32 * 4);
        let to = [&self.codes, &self.meta, &self.again_codes, &self.again_meta];
        let to = to.map(|memory| Arg::Memory(memory, 0));
        let args: [_; 9] = joined(x.args(width), to);
        // SAFETY: the arguments are those of the kernel; it reads `n` rows of `width`, which there are, and
        // as many weights, and writes a byte for each value and eight for each unit, for which there is room.
        unsafe { device.launch("round_int8", launch, &args) }
    }
}
