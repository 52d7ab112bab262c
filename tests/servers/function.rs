//! The function in the process itself that tests/servers/run.py puts under other people's servers:
//! does what the event says, and answers any other event with itself.

use std::process::ExitCode;
use std::time::Duration;

use zerostrap::Failure;

fn main() -> ExitCode {
    zerostrap::run(|_invocation, event| match event {
        b"\"fail\"" => Err(Failure::new("Function.Own", "own words")),
        b"\"overrun\"" => {
            // Half a second longer than the servers allow. Nobody but they can stop a function.
            std::thread::sleep(Duration::from_millis(1_500));
            Ok(b"late".to_vec())
        }
        _ => Ok(event.to_vec()),
    })
}
