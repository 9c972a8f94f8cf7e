//! Any bytes as a chunked body. Run: `cargo +nightly fuzz run chunked`.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::chunked(input));
