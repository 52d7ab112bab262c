//! A failed event, or a failed init: the error document and the error type.

use crate::invocation::Invocation;
use crate::json;
use crate::log::{self, Level};

/// Most bytes of an error document.
///
/// On Managed Instances the Runtime API refuses documents over 1 MiB, elsewhere over 6 MiB; this is
/// far below both and far above what a person reads.
pub const ERROR_DOCUMENT_LIMIT: usize = 262_144;

/// Most bytes of a message, and of all stack lines together. Escaping makes six of one at the
/// worst, so that both fit the document's limit whatever they hold.
const TEXT_LIMIT: usize = 20_000;

/// Why a handler could not answer an event, as the function's caller is told.
///
/// It becomes `{"errorType":…,"errorMessage":…,"stackTrace":[…]}`.
#[derive(Debug)]
pub struct Failure {
    // Behind a pointer, since it is returned through many hands and rarely exists.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    error_type: &'static str,
    message: String,
    stack_trace: Vec<Vec<u8>>,
    trace_length: usize,
    document: Option<Document>,
}

/// A handler's own error document, and the type that stands in it if Lambda accepts its form.
#[derive(Debug)]
struct Document {
    json: Vec<u8>,
    error_type: Option<String>,
}

impl Failure {
    /// A failure with a type and a message that says what failed, where, and what to do.
    ///
    /// `error_type` should be `Function.` or `Runtime.` and a word in letters: another one goes
    /// into the document as it is, and to Lambda's own metrics as `Function.Unknown`.
    pub fn new(error_type: &'static str, message: impl Into<String>) -> Failure {
        let (message, stack_trace, document) = (message.into(), Vec::new(), None);
        Failure {
            inner: Box::new(Inner { error_type, message, stack_trace, trace_length: 0, document }),
        }
    }

    /// bridge
    pub fn with_trace(self, text: &[u8]) -> Failure {
        text.split(|&b| b == b'\n')
            .filter(|line| !line.is_empty())
            .fold(self, Failure::with_trace_line)
    }

    /// Adds a line to the stack trace. Past 20,000 bytes in all, lines are left out.
    pub fn with_trace_line(mut self, line: &[u8]) -> Failure {
        // A line costs its quotes too.
        let length = self.inner.trace_length.saturating_add(line.len()).saturating_add(1);
        if length <= TEXT_LIMIT {
            self.inner.trace_length = length;
            self.inner.stack_trace.push(line.to_vec());
        }
        self
    }

    /// Takes `output` as the error document, if it is one: a JSON object of at most 262,144 bytes
    /// with a string `errorType` or `errorMessage`. Else nothing changes.
    pub fn with_document(mut self, output: &[u8]) -> Failure {
        let fits = output.len() <= ERROR_DOCUMENT_LIMIT;
        let Some(fields) = fits.then(|| json::object(output)).flatten() else { return self };
        if fields.error_type.is_some() || fields.has_message {
            let named = fields.error_type.filter(|name| is_error_type(name));
            let error_type = named.map(|name| String::from_utf8_lossy(name).into_owned());
            self.inner.document = Some(Document { json: output.to_vec(), error_type });
        }
        self
    }

    /// What went wrong, in a sentence.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Writes the failure's one log line.
    pub(crate) fn log(&self, level: Level, invocation: Option<&Invocation>) {
        log::write(level, invocation, &format!("{}: {}", self.error_type(), self.message()));
    }

    /// The type for the `Lambda-Runtime-Function-Error-Type` header: always of the form
    /// `(Runtime|Function)\.[A-Z][a-zA-Z]+`, which Lambda passes on unchanged.
    pub fn error_type(&self) -> &str {
        if let Some(Document { error_type: Some(own), .. }) = &self.inner.document {
            return own;
        }
        if is_error_type(self.inner.error_type.as_bytes()) {
            self.inner.error_type
        } else {
            "Function.Unknown"
        }
    }

    /// The error document, valid JSON of at most [`ERROR_DOCUMENT_LIMIT`] bytes.
    pub fn to_json(&self) -> Vec<u8> {
        if let Some(document) = &self.inner.document {
            return document.json.clone();
        }
        let mut out = b"{".to_vec();
        json::push_member(&mut out, "errorType", self.inner.error_type.as_bytes());
        let message = self.inner.message.as_bytes();
        json::push_member(&mut out, "errorMessage", message.get(..TEXT_LIMIT).unwrap_or(message));
        out.extend_from_slice(b",\"stackTrace\":[");
        for (index, line) in self.inner.stack_trace.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
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
    let word = name.strip_prefix(b"Runtime.").or_else(|| name.strip_prefix(b"Function."));
    word.is_some_and(|word| {
        word.len() > 1
            && word.first().is_some_and(u8::is_ascii_uppercase)
            && word.iter().all(u8::is_ascii_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::{ERROR_DOCUMENT_LIMIT, Failure};

    #[test]
    fn document_of_anything_is_within_its_limit() {
        for line in [&b""[..], b"\x01", &[1; 19_999]] {
            let mut failure = Failure::new("Function.Test", "\u{1}".repeat(50_000));
            for _ in 0..30_000 {
                failure = failure.with_trace_line(line);
            }
            let length = failure.to_json().len();
            assert!(length <= ERROR_DOCUMENT_LIMIT, "{length} bytes");
            assert!(length > 120_000, "{length} bytes: nothing is left");
        }
    }
}
