//! A function that is its own bootstrap: answers each event with itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    zerostrap::run(|_invocation, event| Ok(event.to_vec()))
}
