//! A position in a GGUF header that moves forward and never past the end.

use std::path::Path;
use std::sync::Arc;

use super::value::ValueKind;
use crate::weights::error::{DAMAGED, Fault, INCOMPLETE, Result, WeightsError, quoted};
use crate::weights::source::{Source, Span};

/// How deep arrays may hold arrays. The format sets no limit; real files use none of it.
const DEEPEST: usize = 8;

pub(super) struct Cursor<'a> {
    source: &'a Arc<Source>,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Arc<Source>) -> Self {
        Self {
            source,
            bytes: source.bytes(),
            at: 0,
        }
    }

    /// The file's path.
    pub(super) fn path(&self) -> &'a Path {
        self.source.path()
    }

    /// The next byte's offset in the file.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        let taken = usize::try_from(n)
            .ok()
            .and_then(|n| self.bytes[self.at..].get(..n));
        let taken = taken.ok_or_else(|| self.ended(n, what))?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        Ok(*bytes.first_chunk().expect("take gives what was asked for"))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// The bytes of a string: a length of 8 bytes, then so many.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = self.u64(what)?;
        self.take(len, what)
    }

    /// A string that must be a name: UTF-8 of 1 to `longest` bytes.
    pub(super) fn name(&mut self, what: &str, longest: usize) -> Result<&'a str> {
        let at = self.at;
        let bytes = self.string(what)?;
        let expected = || format!("a {what} of 1 to {longest} bytes of UTF-8");
        match std::str::from_utf8(bytes) {
            Ok(name) if (1..=longest).contains(&name.len()) => Ok(name),
            Ok(_) => Err(self.malformed(at, expected(), format!("{} bytes", bytes.len()))),
            Err(_) => Err(self.malformed(at, expected(), quoted(bytes))),
        }
    }

    /// Walks over `count` values of an array and gives their bytes.
    pub(super) fn elements(&mut self, kind: ValueKind, count: u64, what: &str) -> Result<Span> {
        let start = self.at;
        self.skip(kind, count, what, 0)?;
        let span = Span::new(self.source, start, self.at - start);
        Ok(span.expect("the cursor is inside its source"))
    }

    fn skip(&mut self, kind: ValueKind, count: u64, what: &str, depth: usize) -> Result<()> {
        if let Some(size) = kind.size() {
            // A product that overflows is more than any file has.
            self.take(count.saturating_mul(size as u64), what)?;
            return Ok(());
        }
        // Each string or array takes at least its own length field, so a count that lies ends
        // at the end of the file, and nothing is allocated on the way.
        for _ in 0..count {
            if kind == ValueKind::String {
                self.string(what)?;
                continue;
            }
            if depth == DEEPEST {
                let expected = format!("arrays nested at most {DEEPEST} deep");
                return Err(self.malformed(self.at, expected, "a deeper one"));
            }
            let (kind, count) = self.array_head(what)?;
            self.skip(kind, count, what, depth + 1)?;
        }
        Ok(())
    }

    /// The kind and number of an array's values.
    pub(super) fn array_head(&mut self, what: &str) -> Result<(ValueKind, u64)> {
        let kind = self.kind(what)?;
        Ok((kind, self.u64(what)?))
    }

    pub(super) fn kind(&mut self, what: &str) -> Result<ValueKind> {
        let at = self.at;
        let number = self.u32(what)?;
        ValueKind::from_number(number).ok_or_else(|| {
            self.malformed(
                at,
                format!("a kind of value for {}", quoted(what.as_bytes())),
                format!("number {number}"),
            )
        })
    }

    /// The error for a header that breaks the format's rules at byte `at`.
    pub(super) fn malformed(
        &self,
        at: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> WeightsError {
        let place = format!("byte {at}");
        WeightsError::Malformed(Fault::new(
            self.source.path(),
            place,
            expected,
            found,
            DAMAGED,
        ))
    }

    fn ended(&self, n: u64, what: &str) -> WeightsError {
        let place = format!("byte {}", self.at);
        let expected = format!("{n} bytes of {}", quoted(what.as_bytes()));
        let found = format!("{} before the end of the file", self.remaining());
        WeightsError::Truncated(Fault::new(
            self.source.path(),
            place,
            expected,
            found,
            INCOMPLETE,
        ))
    }
}
