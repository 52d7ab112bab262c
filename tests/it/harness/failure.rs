//! What an answer has to look like: byte for byte, or as a failure.

use super::json::{self, Value};
use crate::emulator::record::{Endpoint, Request};

/// Checks that this is a report of a failure, of this type and with this in its message, and that
/// document and headers have the form that was promised.
#[track_caller]
pub(crate) fn assert_failure(request: &Request, error_type: &str, message: &str) {
    let to = &request.endpoint;
    assert!(
        matches!(to, Endpoint::Error(_) | Endpoint::InitError),
        "{to:?}: {}",
        request.text()
    );
    assert_eq!(request.error_type(), error_type, "{}", request.text());
    assert_eq!(request.header("Content-Type"), Some("application/json"));
    let document = json::parse(&request.body);
    let document = document.unwrap_or_else(|| panic!("not JSON: {}", request.text()));
    assert_eq!(
        document.names(),
        ["errorType", "errorMessage", "stackTrace"]
    );
    assert_eq!(document.text("errorType"), error_type);
    assert!(
        document.text("errorMessage").contains(message),
        "{}",
        request.text()
    );
    assert!(
        matches!(document.get("stackTrace"), Some(Value::List(_))),
        "{}",
        request.text()
    );
    assert_form(error_type);
}

/// Checks a response that may be too long to be printed.
#[track_caller]
pub(crate) fn assert_response(request: &Request, body: &[u8]) {
    let start = String::from_utf8_lossy(&request.body[..request.body.len().min(400)]);
    assert!(
        matches!(request.endpoint, Endpoint::Response(_)),
        "an error: {start}"
    );
    if request.body != body {
        let differs = request
            .body
            .iter()
            .zip(body)
            .position(|(is, should)| is != should);
        let (is, should) = (request.body.len(), body.len());
        panic!("{is} bytes instead of {should}, first difference at {differs:?}: {start}");
    }
}

/// `(Runtime|Function)\.[A-Z][a-zA-Z]+`
#[track_caller]
fn assert_form(error_type: &str) {
    let word = error_type
        .strip_prefix("Runtime.")
        .or_else(|| error_type.strip_prefix("Function."));
    let well_formed = word.is_some_and(|word| {
        word.len() > 1
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphabetic())
    });
    assert!(
        well_formed,
        "the error type {error_type} is not of the form that Lambda takes"
    );
}
