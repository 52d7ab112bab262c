//! Any bytes as a line of the warm shell's status pipe.
#![no_main]

#[path = "../report.rs"]
mod report;

libfuzzer_sys::fuzz_target!(|line: &[u8]| report::check(line));
