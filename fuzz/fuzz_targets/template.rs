//! Fuzzes [`ponder_tests::hostile::template`].
#![no_main]

use ponder_tests::hostile::{check, template};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(template, data));
