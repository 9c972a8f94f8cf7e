//! Any bytes as a connection's input. Run: `cargo +nightly fuzz run head`.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::head(input));
