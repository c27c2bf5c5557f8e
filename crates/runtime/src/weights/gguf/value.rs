//! The values of GGUF metadata.

use crate::weights::source::Span;

/// The kinds of values, by the numbers that files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the format's own.
pub enum ValueKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueKind {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        const KINDS: [ValueKind; 13] = [
            ValueKind::U8,
            ValueKind::I8,
            ValueKind::U16,
            ValueKind::I16,
            ValueKind::U32,
            ValueKind::I32,
            ValueKind::F32,
            ValueKind::Bool,
            ValueKind::String,
            ValueKind::Array,
            ValueKind::U64,
            ValueKind::I64,
            ValueKind::F64,
        ];
        KINDS.get(usize::try_from(number).ok()?).copied()
    }

    /// The number that files use; the inverse of [`from_number`](Self::from_number).
    pub(super) const fn number(self) -> u32 {
        // The kinds are declared in the order of their numbers.
        self as u32
    }

    /// The bytes of one value; `None` where that depends on the value.
    pub(super) const fn size(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// The word that error messages use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// One value. Strings and arrays point into the file; cloning copies none of their bytes.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are the format's own.
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(Text),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// The kind of the value.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::U8(_) => ValueKind::U8,
            Self::I8(_) => ValueKind::I8,
            Self::U16(_) => ValueKind::U16,
            Self::I16(_) => ValueKind::I16,
            Self::U32(_) => ValueKind::U32,
            Self::I32(_) => ValueKind::I32,
            Self::F32(_) => ValueKind::F32,
            Self::Bool(_) => ValueKind::Bool,
            Self::String(_) => ValueKind::String,
            Self::Array(_) => ValueKind::Array,
            Self::U64(_) => ValueKind::U64,
            Self::I64(_) => ValueKind::I64,
            Self::F64(_) => ValueKind::F64,
        }
    }

    /// The value as a whole number, if it is one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::I8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::I16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::I32(v) => Some(v.into()),
            Self::U64(v) => v.try_into().ok(),
            Self::I64(v) => Some(v),
            _ => None,
        }
    }

    /// The value as a whole number that is not negative, if it is one.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U64(v) => Some(v),
            _ => self.as_i64()?.try_into().ok(),
        }
    }

    /// The value as a number: floating-point as it is, whole numbers to the nearest.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(v) => Some(v.into()),
            Self::F64(v) => Some(v),
            Self::U64(v) => Some(v as f64),
            _ => self.as_i64().map(|v| v as f64),
        }
    }

    /// The value as a truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(v) => Some(v),
            _ => None,
        }
    }

    /// The value as text, if it is a string of UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => std::str::from_utf8(text.as_bytes()).ok(),
            _ => None,
        }
    }

    /// The value as an array, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// A value of fixed size out of exactly its bytes.
    fn fixed(kind: ValueKind, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            ValueKind::U8 => Self::U8(*bytes.first()?),
            ValueKind::I8 => Self::I8(i8::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::U16 => Self::U16(u16::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::I16 => Self::I16(i16::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::U32 => Self::U32(u32::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::I32 => Self::I32(i32::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::F32 => Self::F32(f32::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::Bool => Self::Bool(*bytes.first()? != 0),
            ValueKind::U64 => Self::U64(u64::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::I64 => Self::I64(i64::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::F64 => Self::F64(f64::from_le_bytes(*bytes.first_chunk()?)),
            ValueKind::String | ValueKind::Array => return None,
        })
    }

    /// Reads one value off the front of `span` at `at`, which moves behind it. The span was
    /// walked before, so this gives `None` only at its end.
    pub(super) fn read(kind: ValueKind, span: &Span, at: &mut usize) -> Option<Self> {
        let rest = span.bytes().get(*at..)?;
        match kind {
            ValueKind::String => {
                let len = length(rest)?;
                let text = span.sub(*at + 8, len)?;
                *at += 8 + len;
                Some(Self::String(Text(text)))
            }
            ValueKind::Array => {
                let kind = ValueKind::from_number(u32::from_le_bytes(*rest.first_chunk()?))?;
                let len = length(rest.get(4..)?)?;
                *at += 12;
                let start = *at;
                skip(kind, len, span.bytes(), at)?;
                let elements = span.sub(start, *at - start)?;
                Some(Self::Array(Array {
                    kind,
                    len,
                    elements,
                }))
            }
            fixed => {
                let value = Self::fixed(fixed, rest)?;
                *at += fixed.size()?;
                Some(value)
            }
        }
    }
}

/// Moves `at` behind `count` values that were walked before.
fn skip(kind: ValueKind, count: usize, bytes: &[u8], at: &mut usize) -> Option<()> {
    if let Some(size) = kind.size() {
        *at = at.checked_add(count.checked_mul(size)?)?;
        return (*at <= bytes.len()).then_some(());
    }
    for _ in 0..count {
        let rest = bytes.get(*at..)?;
        if kind == ValueKind::String {
            *at = at.checked_add(8)?.checked_add(length(rest)?)?;
        } else {
            let inner = ValueKind::from_number(u32::from_le_bytes(*rest.first_chunk()?))?;
            let count = length(rest.get(4..)?)?;
            *at += 12;
            skip(inner, count, bytes, at)?;
        }
    }
    Some(())
}

fn length(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()
}

/// A string in the file. The format says UTF-8, but tokens of some vocabularies are plain bytes.
#[derive(Clone)]
pub struct Text(pub(super) Span);

impl Text {
    /// The bytes as the file has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// An array in the file, decoded when it is iterated.
#[derive(Clone)]
pub struct Array {
    pub(super) kind: ValueKind,
    pub(super) len: usize,
    pub(super) elements: Span,
}

impl Array {
    /// The kind of its values.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// How many values it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its values, of whatever kind.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let mut at = 0;
        (0..self.len).map_while(move |_| Value::read(self.kind, &self.elements, &mut at))
    }

    /// The bytes of its strings, if its values are strings.
    #[must_use]
    pub fn strings(&self) -> Option<Strings<'_>> {
        (self.kind == ValueKind::String).then(|| Strings {
            rest: self.elements.bytes(),
            left: self.len,
        })
    }

    /// Its values as whole numbers; `None` if one is no whole number that fits.
    #[must_use]
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        self.values().map(|v| v.as_i64()).collect()
    }

    /// Its values as `f32`; `None` if they are no numbers.
    #[must_use]
    pub fn to_f32s(&self) -> Option<Vec<f32>> {
        self.values()
            .map(|v| v.as_f64().map(|v| v as f32))
            .collect()
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}; {}]", self.kind.name(), self.len)
    }
}

/// The strings of an array, as bytes.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let len = length(self.rest)?;
        let (text, rest) = self.rest[8..].split_at_checked(len)?;
        self.rest = rest;
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Strings<'_> {}
