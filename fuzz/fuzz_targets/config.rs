//! Fuzzes [`ponder_tests::hostile::config`].
#![no_main]

use ponder_tests::hostile::{check, config};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(config, data));
