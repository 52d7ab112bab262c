//! What the bootstrap and the fuzzer take beyond the public names. No promise is made for it.

pub use crate::api::PAYLOAD_LIMIT;
pub use crate::api::address::{Address, AddressError};
pub use crate::context::EVENT_VARIABLES;
pub use crate::failure::{ERROR_DOCUMENT_LIMIT, ERROR_TYPE_LIMIT, ErrorType};
pub use crate::json::Object;
pub use crate::responder::response_too_large;
pub use crate::runtime::{find_api, register_extension, report_init_error, serve_slot};

/// HTTP's readers and writers.
pub mod http {
    pub use crate::http::*;
}

/// Log lines.
pub mod log {
    pub use crate::log::{Level, is_json, wrap, write, write_raw};
}

/// Numbers of digits only.
pub mod number {
    pub use crate::number::decimal;
}

/// How a setting is read.
pub mod settings {
    pub use crate::settings::{choice, from_environment, invalid, number, value};
}

#[cfg(fuzzing)]
pub use crate::stream;

use std::io;
use std::os::fd::BorrowedFd;

use crate::{Context, Failure, Stream};

/// Creates a failure of one of zerostrap's own types.
pub fn failure(error_type: ErrorType, message: impl Into<String>) -> Failure {
    Failure::of(error_type, message)
}

/// Takes a handler's output as the error document if it is one. Returns whether it is.
pub fn take_document(failure: &mut Failure, output: &[u8]) -> bool {
    failure.take_document(output)
}

/// Returns the event's part of a handler's environment: names and values.
pub fn variables(context: &Context) -> impl Iterator<Item = (Vec<u8>, &[u8])> {
    context.variables()
}

/// Returns the connection of a streamed response that has started and has no reply yet.
pub fn descriptor<'s>(stream: &'s Stream<'_>) -> Option<BorrowedFd<'s>> {
    stream.descriptor()
}

/// Receives what came of an early reply to a streamed response.
///
/// # Errors
/// The Runtime API refuses the response, or ended the connection.
pub fn receive_early_reply(stream: &mut Stream<'_>) -> io::Result<()> {
    stream.receive_early_reply()
}
