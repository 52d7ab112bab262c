//! Any bytes as a status line and headers.
#![no_main]

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::check_head(data));
