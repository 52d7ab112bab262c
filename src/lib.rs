//! Write an AWS Lambda function in Rust as one small static binary: no dependencies, no async
//! runtime.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     zerostrap::run(|context, event| {
//!         eprintln!("{} bytes for {}", event.len(), context.request_id());
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

// In the order of the data's flow.
mod settings;

mod http;

/// In place of a socket while fuzzing.
#[cfg(fuzzing)]
#[path = "../fuzz/stream.rs"]
pub mod stream;
#[cfg(not(fuzzing))]
use std::net as stream;

mod api;

mod context;
mod handler;
mod runtime;

mod responder;

mod base64;
mod failure;
mod json;
mod log;
mod number;
mod panics;

#[doc(hidden)]
pub mod internal;

use std::process::ExitCode;

pub use context::Context;
pub use failure::Failure;
pub use handler::Handler;
pub use json::json_string;
pub use responder::{Answered, Responder, Stream};
pub use runtime::serve;
pub use settings::Settings;

/// Content type of a response, where `BOOTSTRAP_CONTENT_TYPE` sets no other.
const CONTENT_TYPE: &str = "application/json";

/// Serves events with a function, for ever.
///
/// It is passed an event's context and its bytes, and returns the response or a [`Failure`]; any
/// error of Rust becomes one by `?`. Several slots call it at once, hence `Sync`: what they share
/// is what it captures. Returns only when the Runtime API cannot be used, with the exit status.
///
/// ```no_run
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use zerostrap::json_string;
///
/// fn main() -> std::process::ExitCode {
///     let served = AtomicU64::new(0);
///     zerostrap::run(|_context, event| {
///         let text = json_string(std::str::from_utf8(event)?);
///         let before = served.fetch_add(1, Ordering::Relaxed);
///         Ok(format!(r#"{{"text":{text},"before":{before}}}"#).into_bytes())
///     })
/// }
/// ```
///
/// # Panics
/// A function that panics fails its event with `Function.Panicked` and the panic's words, and the
/// slot serves on. Where panics abort (`panic = "abort"`) the process ends instead; Lambda then
/// fails the event with `Runtime.ExitError` and starts the function again.
///
/// # Errors
/// In `function`, `?` takes errors of std and of crates, `String`, `&str` and
/// `Box<dyn Error + Send + Sync>`, see [`Failure`]. With
/// `BOOTSTRAP_RESPONSE_MODE=streaming`, which only a [`Handler`] can honour, the init fails with
/// `Runtime.ConfigInvalid`. `BOOTSTRAP_DEADLINE_MARGIN_MS` is not read: nothing can stop a Rust
/// function before its deadline.
pub fn run(function: impl Fn(&Context, &[u8]) -> Result<Vec<u8>, Failure> + Sync) -> ExitCode {
    serve(|settings| {
        settings::refuse_streaming()?;
        Ok(Function {
            function: &function,
            content_type: settings.content_type_or(CONTENT_TYPE),
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

impl<F: Fn(&Context, &[u8]) -> Result<Vec<u8>, Failure>> Handler for Function<'_, F> {
    fn receive(&mut self, part: &[u8]) {
        self.event.extend_from_slice(part);
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        let result = panics::catch(|| (self.function)(context, &self.event));
        self.event.clear();
        match result {
            Ok(response) => responder.respond(&self.content_type, &response),
            Err(failure) => responder.fail(&failure),
        }
    }
}
