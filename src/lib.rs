//! A Lambda function that is its own `bootstrap`: the client of the Runtime API, and the loop.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     zerostrap::run(|invocation, event| {
//!         eprintln!("{} bytes for {}", event.len(), invocation.request_id());
//!         Ok(event.to_vec())
//!     })
//! }
//! ```
//!
//! [`run`] serves a function from event to response. For streaming, or to take an event while it
//! arrives, implement [`Handler`] and call [`serve`]. Synchronous, without dependencies, without
//! `unsafe`. On Managed Instances each slot is a thread with its own connection.
#![forbid(unsafe_code)]
// No panic is reachable from any input: nothing that could panic is written at all.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

// In the order the data flows.
mod settings;

#[doc(hidden)]
pub mod http;

/// In place of a socket while fuzzing.
#[cfg(fuzzing)]
#[path = "../fuzz/stream.rs"]
pub mod stream;
#[cfg(not(fuzzing))]
use std::net as stream;

mod api;

mod context;
mod runtime;

mod responder;

mod base64;
mod failure;
mod json;
/// The log, for handlers that want its form and levels.
pub mod log;

use std::process::ExitCode;

pub use api::PAYLOAD_LIMIT;
pub use api::address::Address;
pub use context::{EVENT_VARIABLES, Invocation};
pub use failure::{ERROR_DOCUMENT_LIMIT, Failure};
pub use responder::{Answered, Reply, Stream, too_large};
pub use runtime::{Handler, begin, report_init_error, serve, serve_slot};
pub use settings::{DEADLINE_MARGIN_LIMIT_MS, SLOT_LIMIT, Settings};

/// Serves events with a function, for ever.
///
/// It is given an event's context and its bytes, and returns the response or a [`Failure`]; any
/// error of Rust becomes one by `?`. Several slots call it at once, hence `Sync`: what they share
/// is what it captures. Returns only when the Runtime API cannot be used, with the exit status.
pub fn run(function: impl Fn(&Invocation, &[u8]) -> Result<Vec<u8>, Failure> + Sync) -> ExitCode {
    serve(|settings| {
        let content_type = settings.content_type.clone();
        Ok(Function {
            function: &function,
            content_type,
            event: Vec::new(),
        })
    })
}

/// A function as a [`Handler`]: keeps the event's bytes until they are whole.
struct Function<'a, F> {
    function: &'a F,
    content_type: String,
    event: Vec<u8>,
}

impl<F: Fn(&Invocation, &[u8]) -> Result<Vec<u8>, Failure>> Handler for Function<'_, F> {
    fn receive(&mut self, part: &[u8]) {
        self.event.extend_from_slice(part);
    }

    fn handle(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Answered {
        let result = (self.function)(invocation, &self.event);
        self.event.clear();
        match result {
            Ok(response) => reply.respond(&self.content_type, &response),
            Err(failure) => reply.fail(&failure),
        }
    }
}
