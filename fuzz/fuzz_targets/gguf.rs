//! Fuzzes [`ponder_tests::hostile::gguf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ponder_tests::hostile::gguf(data));
