//! Matrices in the layout of their file: for the formats that have no kernel of their own.

use crate::{BlockFormat, Source, dequantize};

/// `[n_rows, k]` weights where the file has them; widened to float32 eight rows at a time.
#[derive(Debug)]
pub(super) struct PlainMatrix {
    format: BlockFormat,
    n_rows: usize,
    k: usize,
    source: Box<dyn Source>,
}

impl PlainMatrix {
    /// Rows that are widened at a time.
    pub(super) const PANEL: usize = 8;

    /// The caller has checked that the bytes are whole rows.
    pub(super) fn new(
        format: BlockFormat,
        source: impl Source + 'static,
        [n_rows, k]: [usize; 2],
    ) -> Self {
        Self {
            format,
            n_rows,
            k,
            source: Box::new(source),
        }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        self.source.bytes()
    }

    /// `tile[n][row]`, `x` is `[n, k]`.
    pub(super) fn panel(&self, panel: usize, x: &[f32], tile: &mut [f32], floats: &mut Vec<f32>) {
        floats.resize(self.k, 0.0);
        let all = self.bytes();
        let row_bytes = all.len() / self.n_rows;
        for lane in 0..Self::PANEL {
            let row = panel * Self::PANEL + lane;
            if row >= self.n_rows {
                continue;
            }
            let bytes = &all[row * row_bytes..(row + 1) * row_bytes];
            dequantize(self.format, bytes, floats);
            let tiles = tile.chunks_exact_mut(Self::PANEL);
            for (tile, x) in tiles.zip(x.chunks_exact(self.k)) {
                tile[lane] = dot(floats, x);
            }
        }
    }
}

/// Eight partial sums, so that the compiler may use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut parts = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|lane| parts[lane] += a[lane] * b[lane]);
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    parts.into_iter().chain(rest).sum()
}
