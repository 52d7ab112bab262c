//! A failed event, or a failed init: the error document and the error type.
//!
//! In: a type, a message, a trace, perhaps the handler's own document. Out: one document under its
//! limit. It must never send Lambda a type that is not of Lambda's form.

use std::error::Error;
use std::fmt;

use crate::context::Context;
use crate::json::{self, Object};
use crate::log::{self, Level};

/// Most bytes of an error document.
///
/// On Managed Instances the Runtime API refuses documents over 1 MiB, elsewhere over 6 MiB; this is
/// far below both and far above what a person reads.
pub const ERROR_DOCUMENT_LIMIT: usize = 262_144;

/// Most bytes of an error type, in the header and in the log.
pub const ERROR_TYPE_LIMIT: usize = 128;

/// Most bytes of a message, and of the stack trace. Escaping makes six bytes of one at the worst,
/// so that both fit the document's limit whatever they hold.
const TEXT_LIMIT: usize = 20_000;

/// Every error type that zerostrap itself reports, in the order of the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// No handler is set, or the script, executable or function does not exist.
    NoSuchHandler,
    /// The handler's file cannot be executed here.
    HandlerNotExecutable,
    /// The script failed while it was sourced.
    HandlerInitFailed,
    /// A setting has a value that it may not have.
    ConfigInvalid,
    /// An event's handler could not be started.
    HandlerStartFailed,
    /// The system does not say how the handler ended.
    HandlerLost,
    /// The hook `before_snapshot` failed.
    BeforeSnapshotError,
    /// The hook `after_restore` failed.
    AfterRestoreError,
    /// The handler ended with a status other than 0.
    ExitNonZero,
    /// A signal ended the handler.
    KilledBySignal,
    /// The handler was not done in time.
    TimedOut,
    /// The response is over the limit.
    ResponseSizeTooLarge,
    /// The Runtime API stopped accepting a streamed response.
    StreamRefused,
    /// A streamed response could not be sent.
    StreamFailed,
    /// A Rust function panicked.
    Panicked,
    /// An error of a Rust function that has no type of its own.
    Error,
    /// A type that is not of Lambda's form.
    Unknown,
}

impl ErrorType {
    /// Returns the type as Lambda and its callers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::NoSuchHandler => "Runtime.NoSuchHandler",
            ErrorType::HandlerNotExecutable => "Runtime.HandlerNotExecutable",
            ErrorType::HandlerInitFailed => "Runtime.HandlerInitFailed",
            ErrorType::ConfigInvalid => "Runtime.ConfigInvalid",
            ErrorType::HandlerStartFailed => "Runtime.HandlerStartFailed",
            ErrorType::HandlerLost => "Runtime.HandlerLost",
            ErrorType::BeforeSnapshotError => "Runtime.BeforeSnapshotError",
            ErrorType::AfterRestoreError => "Runtime.AfterRestoreError",
            ErrorType::ExitNonZero => "Function.ExitNonZero",
            ErrorType::KilledBySignal => "Function.KilledBySignal",
            ErrorType::TimedOut => "Function.TimedOut",
            ErrorType::ResponseSizeTooLarge => "Function.ResponseSizeTooLarge",
            ErrorType::StreamRefused => "Function.StreamRefused",
            ErrorType::StreamFailed => "Function.StreamFailed",
            ErrorType::Panicked => "Function.Panicked",
            ErrorType::Error => "Function.Error",
            ErrorType::Unknown => "Function.Unknown",
        }
    }
}

/// Why a handler could not answer an event, as the function's caller sees it.
///
/// It becomes `{"errorType":…,"errorMessage":…,"stackTrace":[…]}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// Always of the form that Lambda takes.
    error_type: String,
    message: String,
    trace: Vec<u8>,
    /// A handler's own error document.
    document: Option<Vec<u8>>,
}

impl Failure {
    /// Creates a failure with a type of the function's own and a message that says what failed,
    /// where, and what to do.
    ///
    /// `error_type` is `Function.` or `Runtime.` and a word of letters, such as
    /// `Function.EmptyEvent`. Lambda takes no other: one of another form becomes
    /// `Function.Unknown`, and the message ends with it.
    pub fn new(error_type: &'static str, message: impl Into<String>) -> Failure {
        let mut failure = Failure::of(ErrorType::Unknown, message);
        if is_error_type(error_type.as_bytes()) {
            failure.error_type = error_type.to_owned();
        } else {
            let report = format!(" ('{error_type}' is no error type)");
            failure.message.push_str(&report);
        }
        failure
    }

    /// Creates a failure of one of zerostrap's own types.
    pub(crate) fn of(error_type: ErrorType, message: impl Into<String>) -> Failure {
        Failure {
            error_type: error_type.as_str().to_owned(),
            message: message.into(),
            trace: Vec::new(),
            document: None,
        }
    }

    /// Makes the lines of `text` the stack trace; of a long text those in its last 20,000 bytes.
    pub fn with_trace(mut self, text: &[u8]) -> Failure {
        let excess = text.len().saturating_sub(TEXT_LIMIT);
        self.trace = text.get(excess..).unwrap_or_default().to_vec();
        self
    }

    /// Takes `output` as the error document if it is one: a JSON object of at most
    /// [`ERROR_DOCUMENT_LIMIT`] bytes with a string `errorType` or `errorMessage`. Returns whether
    /// it is.
    pub(crate) fn take_document(&mut self, output: &[u8]) -> bool {
        if output.len() > ERROR_DOCUMENT_LIMIT {
            return false;
        }
        let Some(object) = Object::read(output) else {
            return false;
        };
        if object.error_type.is_none() && object.error_message.is_none() {
            return false;
        }
        if let Some(own) = object.error_type.filter(|own| is_error_type(own)) {
            self.error_type = String::from_utf8_lossy(own).into_owned();
        }
        self.document = Some(output.to_vec());
        true
    }

    /// Returns what went wrong, in a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Writes the failure's one log line.
    pub(crate) fn log(&self, level: Level, context: Option<&Context>) {
        log::write(level, context, &self.to_string());
    }

    /// Returns the type for the `Lambda-Runtime-Function-Error-Type` header: always of the form
    /// `(Runtime|Function)\.[A-Z][a-zA-Z]+` and at most [`ERROR_TYPE_LIMIT`] bytes long.
    pub fn error_type(&self) -> &str {
        &self.error_type
    }

    /// Returns the error document, valid JSON of at most [`ERROR_DOCUMENT_LIMIT`] bytes.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        if let Some(document) = &self.document {
            return document.clone();
        }
        let message = self.message.as_bytes();
        let message = message.get(..TEXT_LIMIT).unwrap_or(message);
        let mut out = b"{".to_vec();
        json::push_member(&mut out, "errorType", self.error_type.as_bytes());
        json::push_member(&mut out, "errorMessage", message);
        json::push_string(&mut out, b"stackTrace");
        out.extend_from_slice(b":[");
        for line in self.trace.split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                json::push_string(&mut out, line);
            }
        }
        out.extend_from_slice(b"]}");
        out
    }
}

/// Any error fails the event with its own words, so that `?` works in a function: errors of std and
/// of crates, `String`, `&str`, `Box<dyn Error + Send + Sync>`. The type is `Function.` and the
/// name of the error's type where it has one, else `Function.Error`; its sources are the stack
/// trace.
///
/// A `Failure` is not a [`std::error::Error`] itself: this conversion would be ambiguous then.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error: Box<dyn Error + Send + Sync> = error.into();
        let mut trace = String::new();
        let mut source = error.source();
        // An error may be its own source.
        while let Some(cause) = source.filter(|_| trace.len() < TEXT_LIMIT) {
            trace.push_str(&format!("{cause}\n"));
            source = cause.source();
        }
        let mut failure = Failure::of(ErrorType::Error, error.to_string());
        if let Some(own) = own_type(std::any::type_name::<E>()) {
            failure.error_type = own;
        }
        failure.with_trace(trace.as_bytes())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

/// Shows type and message alone: a handler's own document may hold what callers sent.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

/// `core::num::error::ParseIntError` becomes `Function.ParseIntError`. Text and boxes have no
/// name of their own.
fn own_type(name: &str) -> Option<String> {
    let word = name.rsplit("::").next()?;
    let own = format!("Function.{word}");
    (word != "String" && is_error_type(own.as_bytes())).then_some(own)
}

/// `(Runtime|Function)\.[A-Z][a-zA-Z]+`, the whole of it.
fn is_error_type(name: &[u8]) -> bool {
    let word = name
        .strip_prefix(b"Runtime.")
        .or_else(|| name.strip_prefix(b"Function."));
    let Some([b'A'..=b'Z', rest @ ..]) = word else {
        return false;
    };
    let is_short = name.len() <= ERROR_TYPE_LIMIT;
    is_short && !rest.is_empty() && rest.iter().all(u8::is_ascii_alphabetic)
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::{ERROR_DOCUMENT_LIMIT, Failure, is_error_type};

    #[test]
    #[cfg_attr(miri, ignore = "half a gigabyte of text, which takes Miri hours")]
    fn document_of_anything_is_within_its_limit() {
        for line in [&b""[..], b"\x01", b"\xff", &[1; 19_999]] {
            let failure = Failure::new("Function.Test", "\u{1}".repeat(50_000));
            let failure = failure.with_trace(&[line, b"\n"].concat().repeat(30_000));
            let length = failure.to_json().len();
            assert!(length <= ERROR_DOCUMENT_LIMIT, "{length} bytes");
            assert!(length > 120_000, "{length} bytes: nothing is left");
        }
    }

    #[test]
    fn any_error_becomes_a_failure_of_its_type() {
        let parsed = "x".parse::<u8>().map_err(Failure::from);
        let boxed: Box<dyn std::error::Error + Send + Sync> = "boxed".into();
        let table = [
            (parsed.err(), "Function.ParseIntError"),
            (Some(Failure::from("text")), "Function.Error"),
            (Some(Failure::from("text".to_owned())), "Function.Error"),
            (Some(Failure::from(boxed)), "Function.Error"),
            (Some(Failure::from(std::fmt::Error)), "Function.Error"),
            (Some(Failure::new("Function.Mine", "x")), "Function.Mine"),
        ];
        for (failure, error_type) in table {
            assert_eq!(
                failure.map(|it| it.error_type().to_owned()).as_deref(),
                Some(error_type)
            );
        }
        assert_eq!(Failure::from("text").to_string(), "Function.Error: text");
    }

    #[test]
    fn error_type_has_the_form_that_lambda_takes() {
        let longest = format!("Function.{}", "A".repeat(119));
        let too_long = format!("Function.{}", "A".repeat(120));
        let table = [
            ("Function.MyError", true),
            ("Runtime.X", false),
            ("Function.Xy", true),
            ("Function.myError", false),
            ("Function.My-Error", false),
            ("Other.MyError", false),
            ("MyError", false),
            (&longest, true),
            (&too_long, false),
        ];
        for (name, is_one) in table {
            assert_eq!(is_error_type(name.as_bytes()), is_one, "{name}");
        }
    }

    #[test]
    fn trace_is_the_end_of_a_text_line_by_line() {
        let failure = Failure::new("Function.Test", "why").with_trace(b"one\n\ntwo\n");
        let expected =
            r#"{"errorType":"Function.Test","errorMessage":"why","stackTrace":["one","two"]}"#;
        assert_eq!(String::from_utf8_lossy(&failure.to_json()), expected);
        let long = [b"start\n".repeat(4_000), b"end".to_vec()].concat();
        let failure = failure.with_trace(&long);
        assert_eq!(failure.trace.len(), 20_000);
        assert!(failure.trace.ends_with(b"\nend"));
    }

    #[test]
    fn output_is_the_document_where_it_names_the_error_and_fits() {
        let padded = |length: usize| {
            let document = r#"{"errorMessage":"m"}"#;
            document.to_owned() + &" ".repeat(length - document.len())
        };
        let fits = padded(ERROR_DOCUMENT_LIMIT);
        let does_not = padded(ERROR_DOCUMENT_LIMIT + 1);
        let table = [
            (
                r#"{"errorType":"Function.Own","errorMessage":"m"}"#,
                true,
                "Function.Own",
            ),
            (r#"{"errorType":"Function.Own"}"#, true, "Function.Own"),
            (r#"{"errorType":"own"}"#, true, "Function.Test"),
            (r#"{"errorMessage":"m"}"#, true, "Function.Test"),
            (&fits, true, "Function.Test"),
            (&does_not, false, "Function.Test"),
            (r#"{"errorMessage":1}"#, false, "Function.Test"),
            ("{}", false, "Function.Test"),
            ("", false, "Function.Test"),
        ];
        for (output, is_taken, error_type) in table {
            let shown = &output[..output.len().min(60)];
            let mut failure = Failure::new("Function.Test", "why");
            assert_eq!(
                failure.take_document(output.as_bytes()),
                is_taken,
                "{shown}"
            );
            assert_eq!(failure.error_type(), error_type, "{shown}");
            assert_eq!(failure.to_json() == output.as_bytes(), is_taken, "{shown}");
        }
        let failure = Failure::new("own", "why");
        let shown = "Function.Unknown: why ('own' is no error type)";
        assert_eq!(failure.to_string(), shown);
        assert_eq!(format!("{failure:?}"), format!("Failure({shown})"));
        let failure = Failure::from(std::fmt::Error);
        assert_eq!(failure.error_type(), "Function.Error");
        assert_eq!(failure.message(), std::fmt::Error.to_string());
    }

    #[test]
    fn sources_of_an_error_are_its_trace() {
        let text = std::ffi::CString::new(b"\xff".to_vec()).expect("no NUL");
        let failure = Failure::from(text.into_string().expect_err("no UTF-8"));
        assert_eq!(failure.error_type(), "Function.IntoStringError");
        let json = String::from_utf8_lossy(&failure.to_json()).into_owned();
        let end = r#""stackTrace":["invalid utf-8 sequence of 1 bytes from index 0"]}"#;
        assert!(json.ends_with(end), "{json}");
    }
}
