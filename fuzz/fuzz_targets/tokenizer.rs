//! Fuzzes [`ponder_tests::hostile::tokenizer`].
#![no_main]

use ponder_tests::hostile::{check, tokenizer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(tokenizer, data));
