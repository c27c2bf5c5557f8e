//! Products.

use super::chip::Chip;
use super::group::{Choice, Gating, Group, MAX_PARTS, Part};
use super::launch::Launcher;
use super::names::Kernel;
use super::{Activation, Matrix, Rows, UNIT};
use crate::{Arg, CudaError, Device, Launch, Memory, Precision};

/// Multiplies on a device.
#[derive(Debug)]
pub struct Linear {
    device: Device,
    pub(super) launcher: Launcher,
}

/// A matrix to multiply with.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// `[out, in]`
    pub matrix: &'a Matrix,
    /// `[out]` of float32.
    pub bias: Option<&'a Memory>,
}

/// A product, and where it goes.
#[derive(Debug)]
pub struct Product<'a> {
    /// What is multiplied with.
    pub projection: Projection<'a>,
    /// `[n_rows, out]`
    pub output: Output<'a>,
}

/// Where a product goes.
#[derive(Debug)]
pub enum Output<'a> {
    /// In place of whatever is there.
    Replace(&'a mut Rows),
    /// On top of it.
    Add(&'a mut Rows),
}

impl Linear {
    /// Takes the working memory that products need.
    ///
    /// # Errors
    /// Where the device has not enough memory, and of the driver.
    pub fn new(device: &Device, precision: Precision) -> Result<Self, CudaError> {
        let launcher = Launcher::new(device, precision, Chip::of(device))?;
        Ok(Self {
            device: device.clone(),
            launcher,
        })
    }

    /// As [`new`](Self::new), as if the device were another one.
    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn on_chip(
        device: &Device,
        precision: Precision,
        chip: Chip,
    ) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            launcher: Launcher::new(device, precision, chip)?,
        })
    }

    /// This one with a contest between its own kernels and a library.
    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn with(self, contest: super::contest::Contest) -> Self {
        Self {
            launcher: self.launcher.with(contest),
            ..self
        }
    }

    /// Computes `x @ matrixᵀ + bias` for each product. Neighbours with the same encoding share a
    /// launch.
    ///
    /// # Errors
    /// Where an output has no room and the device has not enough memory, and of the driver.
    ///
    /// # Panics
    /// If a matrix is not as wide as `x`, a bias shorter than it has rows, or an output that is added
    /// to has another shape.
    pub fn multiply(&self, x: &mut Rows, products: &mut [Product<'_>]) -> Result<(), CudaError> {
        let n = x.n_rows();
        for product in &mut *products {
            check(product.projection, x.width());
            product
                .output
                .prepare([n, product.projection.matrix.n_rows()])?;
        }
        if n == 0 {
            return Ok(());
        }
        let same = |a: &Product<'_>, b: &Product<'_>| {
            a.projection.matrix.encoding() == b.projection.matrix.encoding()
        };
        for products in products
            .chunk_by(same)
            .flat_map(|same| same.chunks(MAX_PARTS))
        {
            let mut parts = [None; MAX_PARTS];
            for (part, product) in parts.iter_mut().zip(products) {
                *part = Some(product.part());
            }
            let group = Group {
                parts,
                gating: Gating::None,
                choice: None,
            };
            self.launcher.launch(x, group)?;
        }
        Ok(())
    }

    /// Computes `activation(x @ gateᵀ + bias) * (x @ upᵀ + bias)`.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    ///
    /// # Panics
    /// As [`multiply`](Self::multiply), and if the two matrices have different shapes.
    pub fn multiply_gated(
        &self,
        x: &mut Rows,
        gate: Projection<'_>,
        up: Projection<'_>,
        activation: Activation,
        out: &mut Rows,
    ) -> Result<(), CudaError> {
        check(gate, x.width());
        check(up, x.width());
        let shape = [x.n_rows(), gate.matrix.n_rows()];
        self.gated(
            x,
            [gate, up],
            activation,
            None,
            out.reset(shape[0], shape[1])?,
        )
    }

    /// The same, into memory that there is, with the matrices of experts where these are chosen.
    pub(super) fn gated(
        &self,
        x: &mut Rows,
        pair @ [gate, up]: [Projection<'_>; 2],
        activation: Activation,
        choice: Option<Choice<'_>>,
        out: &Memory,
    ) -> Result<(), CudaError> {
        let heights = pair.map(|projection| projection.matrix.n_rows());
        assert_eq!(heights[0], heights[1], "one value for each gate");
        if x.n_rows() == 0 {
            return Ok(());
        }
        let part = |Projection { matrix, bias }| {
            Some(Part {
                matrix,
                bias,
                out,
                adds: false,
            })
        };
        let mut launch = |parts, gating| {
            let group = Group {
                parts,
                gating,
                choice,
            };
            self.launcher.launch(x, group)
        };
        if gate.matrix.encoding() == up.matrix.encoding() {
            return launch([part(gate), part(up), None], Gating::Pair(activation));
        }
        // One product after the other.
        launch([part(gate), None, None], Gating::None)?;
        launch([part(up), None, None], Gating::Output(activation))
    }

    /// `out[i] = scale * table[tokens[i]]`, for `n` tokens: `u32`, from a byte of the memory on. A token
    /// that the table does not have gives a row of NaN.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    ///
    /// # Panics
    /// If there are less than `n` tokens.
    pub fn embed(
        &self,
        table: &Matrix,
        (tokens, offset): (&Memory, usize),
        n: usize,
        scale: f32,
        out: &mut Rows,
    ) -> Result<(), CudaError> {
        /// Halves of units that a block has.
        const THREADS: u32 = 128;
        let is_there = tokens
            .len()
            .checked_sub(offset)
            .is_some_and(|len| len >= n * 4);
        assert!(
            is_there && offset.is_multiple_of(4),
            "{n} tokens at {offset} of {} bytes",
            tokens.len()
        );
        let out = out.reset(n, table.row_len())?;
        if n == 0 || table.row_len() == 0 {
            return Ok(());
        }
        let n_halves = 2 * table.row_len().div_ceil(UNIT);
        let launch = Launch {
            grid: [n as u32, (n_halves as u32).div_ceil(THREADS), 1],
            block: [THREADS, 1, 1],
            shared: 0,
        };
        let args = [
            Arg::Memory(table.memory(), 0),
            Arg::U32(table.n_rows() as u32),
            Arg::U32(table.row_len() as u32),
            Arg::Memory(tokens, offset),
            Arg::F32(scale),
            Arg::Memory(out, 0),
        ];
        let name = Kernel::Embed.name(table.encoding());
        // SAFETY: the arguments are those of the kernel; it reads `n` tokens, rows that the table has,
        // and writes `n` rows, for which there is room.
        unsafe { self.device.launch(name, launch, &args) }
    }
}

impl Output<'_> {
    /// Gives the output its shape, or checks it.
    fn prepare(&mut self, shape @ [n, width]: [usize; 2]) -> Result<(), CudaError> {
        match self {
            Self::Replace(rows) => rows.reset(n, width).map(|_| ()),
            Self::Add(rows) => {
                assert_eq!(
                    [rows.n_rows(), rows.width()],
                    shape,
                    "a product has the shape of its sum"
                );
                rows.change();
                Ok(())
            }
        }
    }
}

impl Product<'_> {
    fn part(&self) -> Part<'_> {
        let (rows, adds) = match &self.output {
            Output::Replace(rows) => (rows, false),
            Output::Add(rows) => (rows, true),
        };
        Part {
            matrix: self.projection.matrix,
            bias: self.projection.bias,
            out: rows.values(),
            adds,
        }
    }
}

pub(super) fn check(Projection { matrix, bias }: Projection<'_>, width: usize) {
    assert_eq!(matrix.row_len(), width, "a matrix is as wide as its input");
    let is_whole = bias.is_none_or(|bias| bias.len() >= matrix.n_rows() * 4);
    assert!(
        is_whole,
        "a bias has a number for each of {} rows",
        matrix.n_rows()
    );
}
