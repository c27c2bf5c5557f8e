//! Products by the warpgroups of compute capability 9.0 (`cu/hopper.cuh`): how they are started, and
//! where they pay.

use super::Encoding;
use super::chip::Chip;
use super::group::{Gating, Group, MAX_PARTS};
use crate::{Arg, Launch, TensorMap};

/// Threads of a warpgroup; two of them multiply.
const WARPGROUP: usize = 128;
const CONSUMERS: usize = 2;

/// Bytes of a row of a tile in shared memory: 64 values, or 128 of eight bits.
const ROW_BYTES: usize = 128;

/// What tiles are aligned to, and bytes of the barriers of a stage, which lie behind all of them.
const ALIGNMENT: usize = 1024;
const BARRIERS: usize = 16;

/// The fewest stages that copies come ahead in, and the most that are of use.
const MIN_STAGES: usize = 2;
const MAX_STAGES: usize = 8;

/// Fewer rows of activations have tiles of their own size, which read weights as fast.
const MORE_THAN: usize = 64;

/// Rows of weights of a tile, which has 128 rows of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HopperTile {
    /// 128.
    Narrow,
    /// 256.
    Wide,
}

impl HopperTile {
    const COLUMNS: usize = 128;

    /// The tile for a product with `n` rows of activations of `width`; `None` where other kernels do
    /// better: on other devices, and where most multiprocessors would get no tile.
    pub(super) fn of(chip: &Chip, group: &Group<'_>, [n, width]: [usize; 2]) -> Option<Self> {
        let encoding = group.first().encoding();
        let is_left_out = encoding == Encoding::F32
            || matches!(group.gating, Gating::Output(_))
            || group.choice.is_some();
        if !chip.has_warpgroups || is_left_out || n <= MORE_THAN || width == 0 {
            return None;
        }
        let tile = [Self::Narrow, Self::Wide]
            .into_iter()
            .filter(|tile| tile.is_there(encoding) && tile.n_stages(chip, encoding) >= MIN_STAGES)
            .min_by_key(|tile| {
                tile.n_tiles(group, n).div_ceil(chip.n_multiprocessors) * tile.time()
            })?;
        (2 * tile.n_tiles(group, n) >= chip.n_multiprocessors).then_some(tile)
    }

    /// How the kernel is started.
    pub(super) fn launch(self, chip: &Chip, group: &Group<'_>, n: usize) -> Launch {
        let encoding = group.first().encoding();
        let n_blocks = self.n_tiles(group, n).min(chip.n_multiprocessors);
        // As many as widen weights; where they are copied, one.
        let producers = match (encoding, self) {
            (Encoding::BF16 | Encoding::Fp8, _) | (_, Self::Wide) => 1,
            (_, Self::Narrow) => 2,
        };
        let n_stages = self.n_stages(chip, encoding);
        Launch {
            grid: [n_blocks as u32, 1, 1],
            block: [((producers + CONSUMERS) * WARPGROUP) as u32, 1, 1],
            shared: (ALIGNMENT + n_stages * (self.stage_bytes(encoding) + BARRIERS)) as u32,
        }
    }

    /// What the kernel takes behind its maps.
    pub(super) fn sizes(
        self,
        chip: &Chip,
        group: &Group<'_>,
        [n, width]: [usize; 2],
    ) -> [Arg<'static>; 4] {
        let encoding = group.first().encoding();
        let row_tiles = group.n_tiles(self.rows());
        [n, width, row_tiles, self.n_stages(chip, encoding)].map(|size| Arg::U32(size as u32))
    }

    fn rows(self) -> usize {
        match self {
            Self::Narrow => 128,
            Self::Wide => 256,
        }
    }

    fn n_tiles(self, group: &Group<'_>, n: usize) -> usize {
        group.n_tiles(self.rows()) * n.div_ceil(Self::COLUMNS)
    }

    /// How long a tile takes, relative to others: of half the size it takes more than half as long,
    /// because activations are read from shared memory for fewer products each.
    fn time(self) -> usize {
        match self {
            Self::Narrow => 5,
            Self::Wide => 8,
        }
    }

    /// Whether there is such a kernel: each weight of float16 takes twice the room, each sum of FP8 is there
    /// twice.
    fn is_there(self, encoding: Encoding) -> bool {
        !matches!(encoding, Encoding::F16 | Encoding::Fp8) || self == Self::Narrow
    }

    /// Bytes of a stage: activations and weights.
    fn stage_bytes(self, encoding: Encoding) -> usize {
        let terms = if encoding == Encoding::F16 { 2 } else { 1 };
        (Self::COLUMNS + terms * self.rows()) * ROW_BYTES
    }

    /// As many stages as there is room for.
    fn n_stages(self, chip: &Chip, encoding: Encoding) -> usize {
        let room = chip.shared_memory.saturating_sub(ALIGNMENT);
        (room / (self.stage_bytes(encoding) + BARRIERS)).min(MAX_STAGES)
    }
}

/// The maps of weights that are copied. Parts without rows have none, and theirs is not read.
pub(super) fn weight_maps<'a>(group: &Group<'a>) -> [&'a TensorMap; MAX_PARTS] {
    let maps = group
        .parts
        .map(|part| part.and_then(|part| part.matrix.map()));
    let some = maps.into_iter().flatten().next();
    let some = some.expect("devices with warpgroups have maps of all weights that are copied");
    maps.map(|map| map.unwrap_or(some))
}
