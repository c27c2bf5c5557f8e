//! Fuzzes [`ponder_tests::hostile::template`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ponder_tests::hostile::template(data));
