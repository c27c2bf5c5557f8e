//! Which kernel computes a product, and how it is started.

use ponder_kernels_cpu::BlockFormat;

use super::chip::Chip;
use super::contest::Contest;
use super::group::Group;
use super::hopper::{HopperTile, weight_maps};
use super::names::{Kernel, Most, TileSize};
use super::rows::{Fp8Rows, Fp8Scale, Halves, Int8, Source};
use super::{Encoding, Rows, UNIT};
use crate::view::joined;
use crate::{Arg, CudaError, Device, Launch, Memory, Precision, TensorMap};

/// Warps of a block of the kernels for few rows, the most of these, and threads of a warp.
const MATVEC_WARPS: usize = 4;
const MATVEC_MOST: usize = 8;
const WARP: usize = 32;

/// Warps of a multiprocessor that keep its memory busy.
const BUSY_WARPS: usize = 12;

/// Blocks of a multiprocessor that share the tiles of a matrix, and the fewest units of 32 values that
/// are worth a share.
const BUSY_BLOCKS: usize = 2;
const LEAST_SHARE: usize = 8;

/// Rows of weights and of activations of a block of the exact kernel, its threads, and its shared
/// memory: a unit of both, with a gap between values.
const EXACT_ROWS: usize = 64;
const EXACT_COLUMNS: usize = 32;
const EXACT_THREADS: u32 = 128;
const EXACT_SHARED: usize = UNIT * 4 * (EXACT_ROWS + 1 + EXACT_COLUMNS + 1);

/// Rows that experts may have on the average to be multiplied as few, and on small tiles.
const FEW_OF_EXPERT: usize = 8;
const SMALL_OF_EXPERT: usize = 16;

const MXFP4: Encoding = Encoding::Block(BlockFormat::MXFP4);

/// Activations, as a kernel takes them.
enum Input<'a> {
    Plain(&'a Memory),
    Int8(&'a Int8),
    Bf16(&'a Memory),
    F16(&'a Halves),
    Fp8(&'a Fp8Rows),
    /// Rounded to bfloat16; where weights are copied, with their maps.
    Map(&'a TensorMap),
    Maps([&'a TensorMap; 4]),
    /// And with the scales of activations in FP8.
    Fp8Maps([&'a TensorMap; 4], &'a Memory),
}

/// Starts kernels of products.
#[derive(Debug)]
pub(super) struct Launcher {
    device: Device,
    precision: Precision,
    chip: Chip,
    /// The sums of blocks that share a tile.
    share_sums: Memory,
    /// How many blocks of each tile are done; always zero between launches.
    share_done: Memory,
    /// Between the kernels here and the vendor's library, where tensor cores multiply bfloat16.
    contest: Option<Contest>,
}

impl Launcher {
    pub(super) fn new(
        device: &Device,
        precision: Precision,
        chip: Chip,
    ) -> Result<Self, CudaError> {
        let n_blocks = BUSY_BLOCKS * chip.n_multiprocessors;
        let tile = TileSize::Medium.rows() * TileSize::Medium.columns();
        let share_done = device.alloc(n_blocks * 4)?;
        device.clear(&share_done, 0, n_blocks * 4)?;
        Ok(Self {
            device: device.clone(),
            precision,
            chip,
            share_sums: device.alloc(n_blocks * tile * 4)?,
            share_done,
            contest: match precision {
                Precision::Fast if chip.has_bf16 => Some(Contest::new(device)?),
                _ => None,
            },
        })
    }

    /// With this contest in place of its own.
    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn with(self, contest: Contest) -> Self {
        let contest = Some(contest);
        Self { contest, ..self }
    }

    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Computes a group of products.
    pub(super) fn launch(&self, x: &mut Rows, group: Group<'_>) -> Result<(), CudaError> {
        if group.n_rows() == 0 {
            return Ok(());
        }
        let own = |x: &mut Rows, group: &Group<'_>| self.launch_own(x, group);
        match &self.contest {
            Some(contest) if contest.multiply(x, &group, &own) => Ok(()),
            _ => own(x, &group),
        }
    }

    fn launch_own(&self, x: &mut Rows, group: &Group<'_>) -> Result<(), CudaError> {
        let encoding = group.first().encoding();
        match self.kernel(encoding, group, x) {
            Kernel::Matvec(most) => self.matvec(x, group, most),
            kernel @ (Kernel::Matmul(size)
            | Kernel::HalfMatmul(size)
            | Kernel::Fp8Matmul(size)
            | Kernel::MxMatmul(size)) => self.matmul(x, group, kernel, size),
            Kernel::Hopper(tile) => self.hopper(x, group, tile),
            _ => self.exact(x, group),
        }
    }

    /// The kernel for a product.
    fn kernel(&self, encoding: Encoding, group: &Group<'_>, x: &Rows) -> Kernel {
        // Plain numbers are loaded eight at a time, or sixteen.
        let is_whole = x.width().is_multiple_of(encoding.chunk().max(8));
        let tile = group.choice.map(|choice| choice.routing.tile());
        match Most::of(tile.unwrap_or(x.n_rows())) {
            _ if self.precision == Precision::Exact => Kernel::Exact,
            Some(most) if is_whole => Kernel::Matvec(most),
            None if encoding != Encoding::F32 => {
                let size = self.tile_size(encoding, group, x.n_rows());
                match HopperTile::of(&self.chip, group, [x.n_rows(), x.width()]) {
                    _ if encoding == Encoding::Fp8 && self.chip.has_fp8 => Kernel::Fp8Matmul(size),
                    _ if encoding == MXFP4 && self.chip.has_mx => Kernel::MxMatmul(size),
                    Some(tile) => Kernel::Hopper(tile),
                    None if self.chip.has_bf16 => Kernel::Matmul(size),
                    None => Kernel::HalfMatmul(size),
                }
            }
            _ => Kernel::Exact,
        }
    }

    /// Rows of a block at most where each of `n_rows` goes to `top_k` of `n_experts`, whose matrices
    /// have these encodings. How many each expert has is known on the device alone: twice the average
    /// has room for most.
    pub(super) fn tile_of_experts(
        &self,
        mut encodings: impl Iterator<Item = Encoding>,
        n_rows: usize,
        (n_experts, top_k): (usize, usize),
    ) -> usize {
        let average = (n_rows * top_k).div_ceil(n_experts);
        let is_few = average <= FEW_OF_EXPERT;
        match self.precision {
            Precision::Fast if is_few => (2 * average)
                .min(n_rows)
                .next_power_of_two()
                .min(Most::Eight.columns()),
            Precision::Fast if encodings.all(|encoding| encoding != Encoding::F32) => {
                match average <= SMALL_OF_EXPERT {
                    true => TileSize::Small.columns(),
                    false => TileSize::Medium.columns(),
                }
            }
            _ => EXACT_COLUMNS,
        }
    }

    /// The largest tiles that every multiprocessor gets one of.
    fn tile_size(&self, encoding: Encoding, group: &Group<'_>, n: usize) -> TileSize {
        if let Some(choice) = group.choice {
            return match choice.routing.tile() <= TileSize::Small.columns() {
                true => TileSize::Small,
                false => TileSize::Medium,
            };
        }
        let large = TileSize::Large;
        let n_large = group.n_tiles(large.rows()) * n.div_ceil(large.columns());
        if n <= TileSize::Small.columns() {
            TileSize::Small
        } else if n <= TileSize::Medium.columns()
            || n_large < self.chip.n_multiprocessors
            // There is no such kernel: each weight takes twice the room; and none in half precision.
            || encoding == Encoding::F16
            || !self.chip.has_bf16
        {
            TileSize::Medium
        } else {
            large
        }
    }

    fn matvec(&self, x: &mut Rows, group: &Group<'_>, most: Most) -> Result<(), CudaError> {
        let (n, width) = (x.n_rows(), x.width());
        let encoding = group.first().encoding();
        let chunk = encoding.chunk();
        // It depends on the weights alone, so that the order of sums does: with two rows for a team
        // there is enough to do, and no lane is without a chunk.
        let n_teams = group.n_rows().div_ceil(2) * group.experts_of_row();
        let mut warps = 1;
        while warps < MATVEC_WARPS
            && n_teams * warps < BUSY_WARPS * self.chip.n_multiprocessors
            && width / chunk >= 2 * warps * WARP
        {
            warps *= 2;
        }
        let n_blocks = group
            .n_tiles(most.tile_rows())
            .div_ceil(MATVEC_WARPS / warps);
        let launch = Launch {
            grid: [
                n_blocks as u32,
                group.n_tiles_of_columns(n, most.columns()) as u32,
                1,
            ],
            block: [(MATVEC_WARPS * WARP) as u32, 1, 1],
            // A number for each thread; and for each warp and row, where rows are normalized.
            shared: (MATVEC_WARPS * (WARP + MATVEC_MOST) * 4) as u32,
        };
        let sizes = [n, width, warps].map(|size| Arg::U32(size as u32));
        let name = Kernel::Matvec(most).name(encoding);
        match encoding {
            Encoding::Block(_) => self.start(name, launch, group, Input::Int8(x.int8()?), sizes),
            Encoding::F32 | Encoding::F16 | Encoding::BF16 | Encoding::Fp8 => {
                let Source { values, norm } = x.source();
                let own: [_; 6] = joined(sizes, norm);
                self.start(name, launch, group, Input::Plain(values), own)
            }
        }
    }

    fn matmul(
        &self,
        x: &mut Rows,
        group: &Group<'_>,
        kernel: Kernel,
        size: TileSize,
    ) -> Result<(), CudaError> {
        let (n, width) = (x.n_rows(), x.width());
        let encoding = group.first().encoding();
        let tiles = [
            group.n_tiles_of_columns(n, size.columns()),
            group.n_tiles(size.rows()),
        ];
        // What kernels take at a time: 64 bytes of a row.
        let n_units = width.div_ceil(match kernel {
            Kernel::Fp8Matmul(_) | Kernel::MxMatmul(_) => 2 * UNIT,
            _ => UNIT,
        });
        let n_shares = match size {
            _ if group.choice.is_some() => 1,
            TileSize::Large => 1,
            TileSize::Small | TileSize::Medium => {
                let wanted = BUSY_BLOCKS * self.chip.n_multiprocessors / (tiles[0] * tiles[1]);
                wanted.min(n_units / LEAST_SHARE).max(1)
            }
        };
        // None is empty.
        let n_shares = n_units.div_ceil(n_units.div_ceil(n_shares).max(1)).max(1);
        let launch = Launch {
            grid: [tiles[0] as u32, tiles[1] as u32, n_shares as u32],
            block: [2 * size.rows() as u32, 1, 1],
            shared: matmul_shared(encoding, kernel, size) as u32,
        };
        let sizes = [n, width].map(|size| Arg::U32(size as u32));
        let shares = [
            Arg::Memory(&self.share_sums, 0),
            Arg::Memory(&self.share_done, 0),
        ];
        let own = [sizes[0], sizes[1], shares[0], shares[1]];
        let input = match kernel {
            Kernel::HalfMatmul(_) => Input::F16(x.f16()?),
            Kernel::Fp8Matmul(_) => Input::Fp8(x.fp8(Fp8Scale::Float)?),
            Kernel::MxMatmul(_) => Input::Fp8(x.fp8(Fp8Scale::Powers)?),
            _ => Input::Bf16(x.bf16()?),
        };
        self.start(kernel.name(encoding), launch, group, input, own)
    }

    fn hopper(&self, x: &mut Rows, group: &Group<'_>, tile: HopperTile) -> Result<(), CudaError> {
        let shape = [x.n_rows(), x.width()];
        let encoding = group.first().encoding();
        let launch = tile.launch(&self.chip, group, shape[0]);
        let sizes = tile.sizes(&self.chip, group, shape);
        const HAVE_MAPS: &str = "devices with warpgroups have maps";
        let input = match encoding {
            Encoding::BF16 => {
                let map = x.bf16_map()?.expect(HAVE_MAPS);
                let [first, second, third] = weight_maps(group);
                Input::Maps([map, first, second, third])
            }
            Encoding::Fp8 => {
                let (map, scales) = x.fp8_map()?.expect(HAVE_MAPS);
                let [first, second, third] = weight_maps(group);
                Input::Fp8Maps([map, first, second, third], scales)
            }
            _ => Input::Map(x.bf16_map()?.expect(HAVE_MAPS)),
        };
        self.start(
            Kernel::Hopper(tile).name(encoding),
            launch,
            group,
            input,
            sizes,
        )
    }

    fn exact(&self, x: &mut Rows, group: &Group<'_>) -> Result<(), CudaError> {
        let launch = Launch {
            grid: [
                group.n_tiles(EXACT_ROWS) as u32,
                group.n_tiles_of_columns(x.n_rows(), EXACT_COLUMNS) as u32,
                1,
            ],
            block: [EXACT_THREADS, 1, 1],
            shared: EXACT_SHARED as u32,
        };
        let sizes = [x.n_rows(), x.width()].map(|size| Arg::U32(size as u32));
        let name = Kernel::Exact.name(group.first().encoding());
        self.start(name, launch, group, Input::Plain(x.compute()?), sizes)
    }

    /// Launches a kernel of products: those of `group`, the input, and what else it takes.
    fn start<const N: usize>(
        &self,
        name: &'static str,
        launch: Launch,
        group: &Group<'_>,
        input: Input<'_>,
        own: [Arg<'_>; N],
    ) -> Result<(), CudaError> {
        let mut args = group.args();
        match input {
            Input::Plain(x) | Input::Bf16(x) => args.extend([Arg::Memory(x, 0)]),
            Input::F16(x) => args.extend([Arg::Memory(&x.values, 0), Arg::Memory(&x.scales, 0)]),
            Input::Fp8(x) => args.extend([Arg::Memory(&x.codes, 0), Arg::Memory(&x.scales, 0)]),
            Input::Map(map) => args.extend([Arg::Map(map)]),
            Input::Maps(maps) => args.extend(maps.map(Arg::Map)),
            Input::Fp8Maps(maps, scales) => {
                args.extend(maps.map(Arg::Map));
                args.extend([Arg::Memory(scales, 0)]);
            }
            Input::Int8(x) => args.extend([
                Arg::Memory(&x.codes, 0),
                Arg::Memory(&x.meta, 0),
                Arg::Memory(&x.again_codes, 0),
                Arg::Memory(&x.again_meta, 0),
            ]),
        }
        args.extend(own);
        // SAFETY: the arguments are those that kernels of this kind declare. Matrices are as wide as the
        // input, which has room for what it was reset to and was rounded as a whole; outputs have room
        // for every row of their matrix, biases a number for each; blocks that share tiles are no more
        // than there is room for. Tiles of experts name rows of the input, and experts, that there are.
        unsafe { self.device.launch(name, launch, args.as_slice()) }
    }
}

/// Bytes of shared memory: three units of activations; of weights three where they are only copied,
/// else two, in twice the room for float16 as the sum of two bfloat16.
fn matmul_shared(encoding: Encoding, kernel: Kernel, size: TileSize) -> usize {
    let unit = UNIT * 2;
    let weights = match (encoding, kernel) {
        (Encoding::F16, Kernel::HalfMatmul(_)) | (Encoding::BF16, Kernel::Matmul(_)) => 3,
        (Encoding::Fp8, Kernel::Fp8Matmul(_)) => 3,
        (Encoding::F16, _) => 4,
        _ => 2,
    };
    // A power of two for each unit of weights.
    let powers = match kernel {
        Kernel::MxMatmul(_) => 2 * 2 * size.rows(),
        _ => 0,
    };
    unit * (3 * size.columns() + weights * size.rows()) + powers
}
