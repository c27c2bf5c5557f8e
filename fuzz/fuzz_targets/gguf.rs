//! Fuzzes [`ponder_tests::hostile::gguf`].
#![no_main]

use ponder_tests::hostile::{check, gguf};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(gguf, data));
