//! A failed event, or a failed init: the error document and the error type.
//!
//! In: a type, a message, a trace, perhaps the handler's own document. Out: one document under its
//! limit. It must never give Lambda a type that is not of Lambda's form.

use crate::context::Invocation;
use crate::json;
use crate::log::{self, Level};

/// Most bytes of an error document.
///
/// On Managed Instances the Runtime API refuses documents over 1 MiB, elsewhere over 6 MiB; this is
/// far below both and far above what a person reads.
pub const ERROR_DOCUMENT_LIMIT: usize = 262_144;

/// Most bytes of a message, and of the stack trace. Escaping makes six of one at the worst, so that
/// both fit the document's limit whatever they hold.
const TEXT_LIMIT: usize = 20_000;

/// Why a handler could not answer an event, as the function's caller is told.
///
/// It becomes `{"errorType":…,"errorMessage":…,"stackTrace":[…]}`.
#[derive(Debug)]
pub struct Failure {
    error_type: String,
    message: String,
    trace: Vec<u8>,
    /// A handler's own error document.
    document: Option<Vec<u8>>,
}

impl Failure {
    /// A failure with a type and a message that says what failed, where, and what to do.
    ///
    /// `error_type` should be `Function.` or `Runtime.` and a word in letters: another one goes
    /// into the document as it is, and to Lambda's own metrics as `Function.Unknown`.
    pub fn new(error_type: &'static str, message: impl Into<String>) -> Failure {
        let (error_type, message) = (error_type.to_owned(), message.into());
        Failure {
            error_type,
            message,
            trace: Vec::new(),
            document: None,
        }
    }

    /// Makes the lines of `text` the stack trace, of a long one those in its last 20,000 bytes.
    pub fn with_trace(mut self, text: &[u8]) -> Failure {
        self.trace = text
            .get(text.len().saturating_sub(TEXT_LIMIT)..)
            .unwrap_or_default()
            .to_vec();
        self
    }

    /// Takes `output` as the error document, if it is one: a JSON object of at most 262,144 bytes
    /// with a string `errorType` or `errorMessage`. Else nothing changes.
    pub fn with_document(mut self, output: &[u8]) -> Failure {
        if output.len() <= ERROR_DOCUMENT_LIMIT
            && let Some((error_type, message)) = json::object(output)
            && error_type.or(message).is_some()
        {
            self.document = Some(output.to_vec());
            if let Some(own) = error_type.filter(|own| is_error_type(own)) {
                self.error_type = String::from_utf8_lossy(own).into_owned();
            }
        }
        self
    }

    /// What went wrong, in a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Writes the failure's one log line.
    pub(crate) fn log(&self, level: Level, invocation: Option<&Invocation>) {
        log::write(
            level,
            invocation,
            &format!("{}: {}", self.error_type(), self.message()),
        );
    }

    /// The type for the `Lambda-Runtime-Function-Error-Type` header: always of the form
    /// `(Runtime|Function)\.[A-Z][a-zA-Z]+`, which Lambda passes on unchanged.
    pub fn error_type(&self) -> &str {
        let is_good = is_error_type(self.error_type.as_bytes());
        if is_good {
            &self.error_type
        } else {
            "Function.Unknown"
        }
    }

    /// The error document, valid JSON of at most [`ERROR_DOCUMENT_LIMIT`] bytes.
    pub fn to_json(&self) -> Vec<u8> {
        if let Some(document) = &self.document {
            return document.clone();
        }
        let mut out = b"{".to_vec();
        json::push_member(&mut out, "errorType", self.error_type.as_bytes());
        let message = self.message.as_bytes();
        json::push_member(
            &mut out,
            "errorMessage",
            message.get(..TEXT_LIMIT).unwrap_or(message),
        );
        json::push_string(&mut out, b"stackTrace");
        out.extend_from_slice(b":[");
        for line in self
            .trace
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            json::push_string(&mut out, line);
        }
        out.extend_from_slice(b"]}");
        out
    }
}

/// Any error of Rust fails the event with its own words, so that `?` works in a handler.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new("Function.Error", error.to_string())
    }
}

/// `(Runtime|Function)\.[A-Z][a-zA-Z]+`, the whole of it.
fn is_error_type(name: &[u8]) -> bool {
    let word = name
        .strip_prefix(b"Runtime.")
        .or_else(|| name.strip_prefix(b"Function."));
    matches!(word, Some([b'A'..=b'Z', rest @ ..])
        if !rest.is_empty() && rest.iter().all(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::{ERROR_DOCUMENT_LIMIT, Failure};

    #[test]
    fn document_of_anything_is_within_its_limit() {
        for line in [&b""[..], b"\x01", b"\xff", &[1; 19_999]] {
            let failure = Failure::new("Function.Test", "\u{1}".repeat(50_000));
            let failure = failure.with_trace(&[line, b"\n"].concat().repeat(30_000));
            let length = failure.to_json().len();
            assert!(length <= ERROR_DOCUMENT_LIMIT, "{length} bytes");
            assert!(length > 120_000, "{length} bytes: nothing is left");
        }
    }
}
