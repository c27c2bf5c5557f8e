//! Fuzzes [`ponder_tests::hostile::safetensors`].
#![no_main]

use ponder_tests::hostile::{check, safetensors};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(safetensors, data));
