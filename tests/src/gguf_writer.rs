//! Writes small GGUF files, for tests that need a model which no one has to download.
//!
//! ```
//! use ponder_tests::gguf_writer::GgufWriter;
//! let bytes = GgufWriter::new()
//!     .str("general.architecture", "llama")
//!     .u32("llama.block_count", 1)
//!     .tensor_f32("token_embd.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
//!     .finish();
//! assert_eq!(&bytes[..4], b"GGUF");
//! ```

/// What tensors are aligned to unless [`GgufWriter::alignment`] says otherwise.
const DEFAULT_ALIGNMENT: usize = 32;

/// A GGUF file in the making. Keys and tensors are written in the order of the calls.
#[derive(Debug, Clone)]
pub struct GgufWriter {
    version: u32,
    alignment: usize,
    n_keys: u64,
    keys: Vec<u8>,
    n_tensors: u64,
    infos: Vec<u8>,
    data: Vec<u8>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl GgufWriter {
    /// An empty file of version 3.
    #[must_use]
    pub fn new() -> Self {
        Self {
            version: 3,
            alignment: DEFAULT_ALIGNMENT,
            n_keys: 0,
            keys: Vec::new(),
            n_tensors: 0,
            infos: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Another version number.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Writes `general.alignment` and aligns the tensors that follow to it.
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = alignment as usize;
        self.u32("general.alignment", alignment)
    }

    /// A key with a value of any kind: the number of the kind and the value's bytes.
    #[must_use]
    pub fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        put_string(&mut self.keys, key.as_bytes());
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.n_keys += 1;
        self
    }

    /// A `u32`.
    #[must_use]
    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    /// A `u16`.
    #[must_use]
    pub fn u16(self, key: &str, value: u16) -> Self {
        self.raw(key, 2, &value.to_le_bytes())
    }

    /// An `i32`.
    #[must_use]
    pub fn i32(self, key: &str, value: i32) -> Self {
        self.raw(key, 5, &value.to_le_bytes())
    }

    /// An `f32`.
    #[must_use]
    pub fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    /// A truth value.
    #[must_use]
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[u8::from(value)])
    }

    /// A string.
    #[must_use]
    pub fn str(self, key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        put_string(&mut bytes, value.as_bytes());
        self.raw(key, 8, &bytes)
    }

    /// An array of strings.
    #[must_use]
    pub fn strings<S: AsRef<[u8]>>(self, key: &str, values: &[S]) -> Self {
        let mut bytes = array_head(8, values.len());
        for value in values {
            put_string(&mut bytes, value.as_ref());
        }
        self.raw(key, 9, &bytes)
    }

    /// An array of `i32`.
    #[must_use]
    pub fn i32s(self, key: &str, values: &[i32]) -> Self {
        let mut bytes = array_head(5, values.len());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    /// An array of `f32`.
    #[must_use]
    pub fn f32s(self, key: &str, values: &[f32]) -> Self {
        let mut bytes = array_head(6, values.len());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    /// A tensor of any type: the type's number and the bytes. `shape` is outermost first.
    #[must_use]
    pub fn tensor(mut self, name: &str, shape: &[usize], ty: u32, bytes: &[u8]) -> Self {
        self.data
            .resize(self.data.len().next_multiple_of(self.alignment), 0);
        put_string(&mut self.infos, name.as_bytes());
        self.infos.extend((shape.len() as u32).to_le_bytes());
        for &dim in shape.iter().rev() {
            self.infos.extend((dim as u64).to_le_bytes());
        }
        self.infos.extend(ty.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
        self.n_tensors += 1;
        self
    }

    /// A tensor of `f32`. `shape` is outermost first.
    ///
    /// # Panics
    /// If `values` are not as many as the shape says.
    #[must_use]
    pub fn tensor_f32(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, shape, 0, &bytes)
    }

    /// A tensor in Q8_0, each block scaled by its largest value. `shape` is outermost first; the
    /// last dimension is a multiple of 32.
    ///
    /// # Panics
    /// If `values` are not as many as the shape says, or rows are no whole blocks.
    #[must_use]
    pub fn tensor_q8_0(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        assert!(shape.last().is_some_and(|n| n.is_multiple_of(32)), "{name}");
        let mut bytes = Vec::new();
        for block in values.chunks(32) {
            let largest = block.iter().fold(0f32, |m, v| m.max(v.abs()));
            let scale = half::f16::from_f32(largest / 127.0);
            let inverse = if scale.to_f32() == 0.0 {
                0.0
            } else {
                scale.to_f32().recip()
            };
            bytes.extend(scale.to_le_bytes());
            bytes.extend(block.iter().map(|v| (v * inverse).round() as i8 as u8));
        }
        self.tensor(name, shape, 8, &bytes)
    }

    /// The file's bytes.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.n_tensors.to_le_bytes());
        file.extend(self.n_keys.to_le_bytes());
        file.extend(&self.keys);
        file.extend(&self.infos);
        if self.n_tensors > 0 {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
            file.extend(&self.data);
        }
        file
    }
}

fn array_head(kind: u32, len: usize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((len as u64).to_le_bytes());
    bytes
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}
