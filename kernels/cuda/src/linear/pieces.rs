//! [`Pieces`]: what a file has of a matrix, made into what the device has of it, a few megabytes at a
//! time.

use std::ops::Range;

use ponder_kernels_cpu::{BlockFormat, dequantize};

use super::planes::Planes;
use super::split::split;
use super::{Encoding, UNIT};
use crate::Source;
use crate::device::{Cargo, MAX_PARTS, Part};

/// Bytes of the device that are made at a time, or one block or row if that is longer.
const PIECE: usize = 4 << 20;

/// A matrix on its way to the device.
#[derive(Debug)]
pub(super) struct Pieces<S> {
    /// As many rows each, one behind the other.
    sources: Vec<S>,
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
        let n_in_source = n / sources.len().max(1);
        let pieces = Self {
            sources,
            form,
            from,
            to,
            n_in_source,
            n_in_piece: (PIECE / to).clamp(1, n_in_source.max(1)),
        };
        (pieces, encoding)
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
            Form::Plain | Form::Filled | Form::Widened(_) => self.n() * self.to,
        }
    }

    fn n_pieces(&self) -> usize {
        self.sources.len() * self.n_in_source.div_ceil(self.n_in_piece)
    }

    fn piece_len(&self) -> usize {
        self.n_in_piece * self.to
    }

    fn write(&self, piece: usize, room: &mut [u8]) -> [Part; MAX_PARTS] {
        let (source, range) = self.find(piece);
        let (first, n) = (source * self.n_in_source + range.start, range.len());
        let source = &self.sources[source];
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
            Form::Filled => {
                for (row, room) in bytes.chunks(self.from).zip(room.chunks_mut(self.to)) {
                    let (values, rest) = room.split_at_mut(self.from);
                    values.copy_from_slice(row);
                    rest.fill(0);
                }
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
        let floats = [Encoding::F32, Encoding::F16, Encoding::BF16];
        let blocks = BlockFormat::ALL.into_iter().map(Encoding::Block);
        for encoding in floats.into_iter().chain(blocks) {
            let lens: &[usize] = match encoding {
                Encoding::Block(format) => &[format.block_len(), 3 * format.block_len()],
                _ => &[1, 31, 32, 33, 96],
            };
            let all = lens.iter().flat_map(|&len| [1, 2, 7].map(|n| [n, len]));
            for shape @ [n_rows, row_len] in all {
                let n_bytes = match encoding {
                    Encoding::F32 => n_rows * row_len * 4,
                    Encoding::F16 | Encoding::BF16 => n_rows * row_len * 2,
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
    fn large_matrices_come_in_pieces() {
        let bytes = vec![0; 3 * PIECE];
        let (pieces, _) = Pieces::new(vec![bytes], Encoding::BF16, [48, 128 << 10]);
        assert_eq!((pieces.n_pieces(), pieces.piece_len()), (3, PIECE));
    }
}
