//! Any bytes as a handler's output: whether they are an error document, by the reference and by
//! serde_json.
#![no_main]

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../invariants.rs"]
mod invariants;

use serde::de::IgnoredAny;
use zerostrap::internal::Object;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    invariants::check_json(data);
    // Both judge the grammar alone: neither the size of a number nor halves of surrogate pairs.
    let is_json = serde_json::from_slice::<IgnoredAny>(data).is_ok();
    let is_object = is_json && data.trim_ascii_start().starts_with(b"{");
    let is_text = std::str::from_utf8(data).is_ok();
    // Without 65 openings it cannot be too deep.
    let openings = data.iter().filter(|byte| b"{[".contains(byte)).count();
    let found = Object::read(data).is_some();
    if found || openings <= 64 {
        assert_eq!(found, is_object && is_text, "{}", data.escape_ascii());
    }
});
