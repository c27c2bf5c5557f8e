//! Values that come from the program and not from a file.

use super::header::put_string;
use crate::weights::gguf::{Array, Text, Value, ValueKind};
use crate::weights::source::{Memory, Source, Span};

fn span(bytes: Vec<u8>) -> Span {
    let len = bytes.len();
    let source = Source::memory(Memory::from(bytes));
    Span::new(&source, 0, len).expect("all of a source lies inside it")
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(Text(span(text.as_bytes().to_vec())))
    }
}

impl From<&[String]> for Value {
    fn from(texts: &[String]) -> Self {
        let mut bytes = Vec::with_capacity(texts.iter().map(|text| 8 + text.len()).sum());
        for text in texts {
            put_string(&mut bytes, text.as_bytes());
        }
        array(ValueKind::String, texts.len(), bytes)
    }
}

impl From<&[i32]> for Value {
    fn from(values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        array(ValueKind::I32, values.len(), bytes)
    }
}

impl From<&[f32]> for Value {
    fn from(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        array(ValueKind::F32, values.len(), bytes)
    }
}

impl From<&[bool]> for Value {
    fn from(values: &[bool]) -> Self {
        let bytes = values.iter().map(|v| u8::from(*v)).collect();
        array(ValueKind::Bool, values.len(), bytes)
    }
}

fn array(kind: ValueKind, len: usize, bytes: Vec<u8>) -> Value {
    Value::Array(Array {
        kind,
        len,
        elements: span(bytes),
    })
}
