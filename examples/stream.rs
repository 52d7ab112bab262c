//! A streamed response: what is written is sent at once. One handler for each slot.

use std::io::Write;
use std::process::ExitCode;

use zerostrap::{Answered, Context, Failure, Handler, Responder};

/// Sends an event back, a line at a time.
#[derive(Default)]
struct Lines {
    event: Vec<u8>,
}

impl Handler for Lines {
    fn receive(&mut self, part: &[u8]) {
        self.event.extend_from_slice(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        let event = std::mem::take(&mut self.event);
        let mut stream = responder.stream("text/plain", context.deadline());
        for line in event.split_inclusive(|&byte| byte == b'\n') {
            if let Err(error) = stream.write_all(line) {
                return stream.fail(&Failure::from(error));
            }
        }
        stream.finish()
    }
}

fn main() -> ExitCode {
    zerostrap::serve(|_settings| Ok(Lines::default()))
}
