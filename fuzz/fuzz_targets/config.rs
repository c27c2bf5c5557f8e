//! Fuzzes [`ponder_tests::hostile::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ponder_tests::hostile::config(data));
