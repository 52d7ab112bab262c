//! How a function fails: by an error under `?`, by a failure of its own, by a panic. In each case the
//! caller gets an error document, and the next event is served.

use std::process::ExitCode;

use zerostrap::{Context, Failure};

fn main() -> ExitCode {
    zerostrap::run(double)
}

/// Doubles the number that an event is.
fn double(_context: &Context, event: &[u8]) -> Result<Vec<u8>, Failure> {
    if event.is_empty() {
        return Err(Failure::new("Function.EmptyEvent", "send a number"));
    }
    let number: u32 = std::str::from_utf8(event)?.trim().parse()?;
    if number == 13 {
        Err("13 is out of stock")?;
    }
    let doubled = number.checked_mul(2).expect("a small number");
    Ok(doubled.to_string().into_bytes())
}
