//! Any bytes, cut anywhere, on a whole connection. Run: `cargo +nightly fuzz run connection`.
#![no_main]

#[path = "../../tests/wall/checks.rs"]
mod checks;
#[path = "../../tests/wall/response.rs"]
mod response;
#[path = "../../tests/wall/mod.rs"]
mod wall;

libfuzzer_sys::fuzz_target!(|input: (&[u8], [u8; 4])| {
    let (input, cuts) = input;
    let mut cuts = cuts.map(|cut| usize::from(cut) * input.len() / 256);
    cuts.sort_unstable();
    checks::connection(input, &cuts);
});
