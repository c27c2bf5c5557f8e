//! [`Pieces`]: what a file has of a matrix, made into what the device has of it, a few megabytes at a
//! time.

use std::ops::Range;

use ponder_kernels_cpu::{BlockFormat, dequantize};

use super::planes::Planes;
use super::split::split;
use super::{Encoding, GROUP, GroupScales, UNIT};
use crate::Source;
use crate::device::{Cargo, MAX_PARTS, Part};

/// Bytes of the device that are made at a time, or one block or row if that is longer.
const PIECE: usize = 4 << 20;

/// A matrix on its way to the device.
#[derive(Debug)]
pub(super) struct Pieces<S> {
    /// As many rows each, one behind the other.
    sources: Vec<S>,
    /// Of each source, where they are apart.
    scales: Vec<GroupScales>,
    form: Form,
    /// Bytes that are only made together, in the file and on the device.
    from: usize,
    to: usize,
    /// How many of them a source has, and how many a piece has.
    n_in_source: usize,
    n_in_piece: usize,
}

/// What is done to them.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Nothing.
    Plain,
    /// Rows are filled up with zeros.
    Filled,
    /// Blocks are widened to float32.
    Widened(BlockFormat),
    /// The parts of blocks are put into planes.
    Split(BlockFormat, Planes),
    /// Rows are filled up with zeros, and their scales lie behind all of them.
    Fp8,
}

impl<S: Source> Pieces<S> {
    /// What brings these rows to the device. Also says how the values lie there.
    pub(super) fn new(
        sources: Vec<S>,
        encoding: Encoding,
        [n_rows, row_len]: [usize; 2],
    ) -> (Self, Encoding) {
        let n_values = n_rows * row_len;
        let row = |size| (row_len * size, row_len.next_multiple_of(UNIT) * size);
        let floats = |size| match row_len.is_multiple_of(UNIT) {
            true => (Form::Plain, (UNIT * size, UNIT * size), n_values / UNIT),
            false => (Form::Filled, row(size), n_rows),
        };
        let (encoding, (form, (from, to), n)) = match encoding {
            Encoding::F32 => (encoding, floats(4)),
            Encoding::F16 | Encoding::BF16 => (encoding, floats(2)),
            Encoding::Fp8 => {
                let ones = vec![GroupScales::ones(n_rows, row_len.div_ceil(GROUP)); sources.len()];
                return (Self::fp8(sources, ones, [n_rows, row_len]), encoding);
            }
            Encoding::Block(format) => {
                let (bytes, len) = (format.block_bytes(), format.block_len());
                let n = n_values / len;
                match Planes::of(format) {
                    Some(planes) => {
                        let to = planes.of_block().iter().sum();
                        (encoding, (Form::Split(format, planes), (bytes, to), n))
                    }
                    None => (Encoding::F32, (Form::Widened(format), (bytes, 4 * len), n)),
                }
            }
        };
        (Self::of(sources, form, (from, to), n), encoding)
    }

    /// Rows of E4M3, whose scales lie elsewhere.
    pub(super) fn fp8(
        sources: Vec<S>,
        scales: Vec<GroupScales>,
        [n_rows, row_len]: [usize; 2],
    ) -> Self {
        let n_groups = row_len.div_ceil(GROUP);
        let to = n_groups * (GROUP + 4);
        Self {
            scales,
            ..Self::of(sources, Form::Fp8, (row_len, to), n_rows)
        }
    }

    /// `n` times `from` bytes of files, which become `to` bytes of the device.
    fn of(sources: Vec<S>, form: Form, (from, to): (usize, usize), n: usize) -> Self {
        let n_in_source = n / sources.len().max(1);
        Self {
            sources,
            scales: Vec::new(),
            form,
            from,
            to,
            n_in_source,
            n_in_piece: (PIECE / to.max(1)).clamp(1, n_in_source.max(1)),
        }
    }

    fn n(&self) -> usize {
        self.sources.len() * self.n_in_source
    }

    /// The source of a piece, and what it has of it.
    fn find(&self, piece: usize) -> (usize, Range<usize>) {
        let n_pieces = self.n_in_source.div_ceil(self.n_in_piece);
        let first = piece % n_pieces * self.n_in_piece;
        let end = self.n_in_source.min(first + self.n_in_piece);
        (piece / n_pieces, first..end)
    }
}

impl<S: Source> Cargo for Pieces<S> {
    fn len(&self) -> usize {
        match self.form {
            Form::Split(_, planes) => planes.offsets(self.n())[MAX_PARTS],
            Form::Plain | Form::Filled | Form::Widened(_) | Form::Fp8 => self.n() * self.to,
        }
    }

    fn n_pieces(&self) -> usize {
        self.sources.len() * self.n_in_source.div_ceil(self.n_in_piece)
    }

    fn piece_len(&self) -> usize {
        self.n_in_piece * self.to
    }

    fn write(&self, piece: usize, room: &mut [u8]) -> [Part; MAX_PARTS] {
        let (number, range) = self.find(piece);
        let (first, n) = (number * self.n_in_source + range.start, range.len());
        let source = &self.sources[number];
        let file = range.start * self.from..range.end * self.from;
        let bytes = &source.bytes()[file.clone()];
        let room = &mut room[..n * self.to];
        let mut parts = [Part::default(); MAX_PARTS];
        parts[0] = Part {
            at: first * self.to,
            len: room.len(),
        };
        match self.form {
            Form::Plain => room.copy_from_slice(bytes),
            Form::Filled => fill_up(bytes, self.from, room, self.to),
            Form::Fp8 => {
                let n_groups = self.to / (GROUP + 4);
                let (codes, scales) = room.split_at_mut(n * n_groups * GROUP);
                fill_up(bytes, self.from, codes, n_groups * GROUP);
                let rows = range
                    .clone()
                    .flat_map(|row| self.scales[number].of_row(row, n_groups));
                for (room, scale) in scales.as_chunks_mut().0.iter_mut().zip(rows) {
                    *room = scale.to_le_bytes();
                }
                let behind = self.n() * n_groups * GROUP;
                parts[0] = Part {
                    at: first * n_groups * GROUP,
                    len: codes.len(),
                };
                parts[1] = Part {
                    at: behind + first * n_groups * 4,
                    len: scales.len(),
                };
            }
            Form::Widened(format) => {
                let mut values = vec![0.0; room.len() / 4];
                dequantize(format, bytes, &mut values);
                for (room, value) in room.as_chunks_mut().0.iter_mut().zip(values) {
                    *room = value.to_le_bytes();
                }
            }
            Form::Split(format, planes) => {
                let (sizes, offsets) = (planes.of_block(), planes.offsets(self.n()));
                let mut rest = room;
                let own = sizes.map(|size| {
                    let plane = rest.split_off_mut(..n * size);
                    plane.expect("room for every block")
                });
                split(format, bytes, own);
                parts = std::array::from_fn(|plane| Part {
                    at: offsets[plane] + first * sizes[plane],
                    len: n * sizes[plane],
                });
            }
        }
        source.release(file);
        parts
    }
}

/// Copies rows of `from` bytes to rows of `to`, with zeros behind them.
fn fill_up(bytes: &[u8], from: usize, room: &mut [u8], to: usize) {
    for (row, room) in bytes.chunks(from.max(1)).zip(room.chunks_mut(to.max(1))) {
        let (values, rest) = room.split_at_mut(from);
        values.copy_from_slice(row);
        rest.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Bytes that remember what was let go of.
    #[derive(Debug)]
    struct Remembered(Vec<u8>, Arc<Mutex<Vec<Range<usize>>>>);

    impl Source for Remembered {
        fn bytes(&self) -> &[u8] {
            &self.0
        }

        fn release(&self, part: Range<usize>) {
            self.1.lock().expect("no panic").push(part);
        }
    }

    /// What the device should have, made in one go, with `filler` in the gaps.
    fn in_one_go(encoding: Encoding, bytes: &[u8], row_len: usize, filler: u8) -> Vec<u8> {
        let filled = |size| {
            let rows = bytes.chunks(row_len * size);
            let gap = row_len.next_multiple_of(UNIT) * size - row_len * size;
            rows.flat_map(|row| row.iter().copied().chain(vec![0; gap]))
                .collect()
        };
        let format = match encoding {
            Encoding::F32 => return filled(4),
            Encoding::F16 | Encoding::BF16 => return filled(2),
            Encoding::Fp8 => {
                let filled = row_len.next_multiple_of(GROUP);
                let rows = bytes.chunks(row_len);
                let codes = rows.clone().flat_map(|row| {
                    let zeros = vec![0; filled - row_len];
                    row.iter().copied().chain(zeros)
                });
                let scales = rows.flat_map(|_| 1f32.to_le_bytes().repeat(filled / GROUP));
                return codes.chain(scales).collect();
            }
            Encoding::Block(format) => format,
        };
        let n_blocks = bytes.len() / format.block_bytes();
        let Some(planes) = Planes::of(format) else {
            let mut values = vec![0.0; n_blocks * format.block_len()];
            dequantize(format, bytes, &mut values);
            return values.into_iter().flat_map(f32::to_le_bytes).collect();
        };
        let (sizes, offsets) = (planes.of_block(), planes.offsets(n_blocks));
        let mut own = sizes.map(|size| vec![0; size * n_blocks]);
        split(format, bytes, own.each_mut().map(|plane| &mut plane[..]));
        let mut all = vec![filler; offsets[4]];
        for (plane, at) in own.iter().zip(offsets) {
            all[at..][..plane.len()].copy_from_slice(plane);
        }
        all
    }

    #[test]
    fn pieces_of_any_size_make_the_same() {
        let floats = [Encoding::F32, Encoding::F16, Encoding::BF16, Encoding::Fp8];
        let blocks = BlockFormat::ALL.into_iter().map(Encoding::Block);
        for encoding in floats.into_iter().chain(blocks) {
            let lens: &[usize] = match encoding {
                Encoding::Block(format) => &[format.block_len(), 3 * format.block_len()],
                _ => &[1, 31, 32, 33, 96, 129],
            };
            let all = lens.iter().flat_map(|&len| [1, 2, 7].map(|n| [n, len]));
            for shape @ [n_rows, row_len] in all {
                let n_bytes = match encoding {
                    Encoding::F32 => n_rows * row_len * 4,
                    Encoding::F16 | Encoding::BF16 => n_rows * row_len * 2,
                    Encoding::Fp8 => n_rows * row_len,
                    Encoding::Block(format) => {
                        n_rows * row_len / format.block_len() * format.block_bytes()
                    }
                };
                let bytes: Vec<u8> = (0..n_bytes).map(|i| (i * 89 + i / 7) as u8).collect();
                let expected = in_one_go(encoding, &bytes, row_len, 0xee);
                for (n_in_piece, n_sources) in [(1, 1), (2, 1), (5, n_rows), (1000, n_rows)] {
                    let released: Vec<_> = (0..n_sources).map(|_| Arc::default()).collect();
                    let parts = bytes.chunks(n_bytes / n_sources);
                    let sources = parts.zip(&released);
                    let sources = sources
                        .map(|(part, released)| Remembered(part.to_vec(), Arc::clone(released)));
                    let (mut pieces, _) = Pieces::new(sources.collect(), encoding, shape);
                    assert!(pieces.piece_len() <= PIECE);
                    pieces.n_in_piece = n_in_piece;
                    let mut found = vec![0xee; pieces.len()];
                    let mut room = vec![0xdd; pieces.piece_len()];
                    for piece in (0..pieces.n_pieces()).rev() {
                        let mut from = 0;
                        for Part { at, len } in pieces.write(piece, &mut room) {
                            found[at..][..len].copy_from_slice(&room[from..][..len]);
                            from += len;
                        }
                    }
                    assert!(found == expected, "{encoding:?} {shape:?} by {n_in_piece}");
                    for released in released {
                        let mut parts = released.lock().expect("no panic").clone();
                        parts.reverse();
                        let ends = parts.iter().map(|part| part.end);
                        let starts = parts.iter().skip(1).map(|part| part.start);
                        let ends_wanted = starts.chain([n_bytes / n_sources]);
                        assert!(ends.eq(ends_wanted), "{parts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn scales_stand_behind_all_rows() {
        // Two sources of three rows, whose scales begin in the middle of a block of rows.
        let shape @ [n_rows, row_len] = [6, 130];
        let codes: Vec<u8> = (0..n_rows * row_len).map(|i| (i * 89) as u8).collect();
        let scales = [1.0, 100.0].map(|from| GroupScales {
            values: (0..4).map(|i| from + i as f32).collect(),
            block_rows: 4,
            first_row: 2,
        });
        let sources = codes.chunks(3 * row_len).map(<[u8]>::to_vec).collect();
        let mut pieces = Pieces::fp8(sources, scales.into(), shape);
        pieces.n_in_piece = 2;
        let mut found = vec![0xee; pieces.len()];
        let mut room = vec![0xdd; pieces.piece_len()];
        for piece in 0..pieces.n_pieces() {
            let mut from = 0;
            for Part { at, len } in pieces.write(piece, &mut room) {
                found[at..][..len].copy_from_slice(&room[from..][..len]);
                from += len;
            }
        }
        let (rows, scales) = found.split_at(n_rows * 256);
        for (found, row) in rows.chunks(256).zip(codes.chunks(row_len)) {
            assert_eq!(found[..row_len], *row);
            assert!(found[row_len..].iter().all(|&code| code == 0));
        }
        let scales: Vec<f32> = scales
            .as_chunks()
            .0
            .iter()
            .map(|&x| f32::from_le_bytes(x))
            .collect();
        let of = |from: f32| [from, from + 1.0, from, from + 1.0, from + 2.0, from + 3.0];
        assert_eq!(scales, [of(1.0), of(100.0)].concat());
    }

    #[test]
    fn large_matrices_come_in_pieces() {
        let bytes = vec![0; 3 * PIECE];
        let (pieces, _) = Pieces::new(vec![bytes], Encoding::BF16, [48, 128 << 10]);
        assert_eq!((pieces.n_pieces(), pieces.piece_len()), (3, PIECE));
    }
}
