//! The environment, read once. The only file that reads a setting of the library, and that knows
//! how a setting is read.

use std::ffi::OsString;

use crate::failure::{ErrorType, Failure};
use crate::log::{self, Format, Level};
use crate::number;

/// Most events at once. Managed Instances allow 64 for each vCPU, on up to 32 vCPUs.
const SLOT_LIMIT: u64 = 2_048;

const FORMATS: [(&str, Format); 2] = [("Text", Format::Text), ("JSON", Format::Json)];
const SWITCH: [(&str, bool); 2] = [("0", false), ("1", true)];

/// What the environment asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// `BOOTSTRAP_CONTENT_TYPE`; `None` where it is not set.
    pub content_type: Option<String>,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: events at once, 1 to 2,048; 1 where it is absent or not a
    /// number.
    pub concurrency: usize,
    /// Whether `BOOTSTRAP_GRACEFUL_SHUTDOWN` is 1.
    pub(crate) graceful_shutdown: bool,
    /// Whether the function is restored from a snapshot before its first event:
    /// `AWS_LAMBDA_INITIALIZATION_TYPE` is `snap-start`.
    pub is_snap_start: bool,
}

impl Settings {
    /// Returns the content type of a response, `default` where none is set.
    pub fn content_type_or(&self, default: &str) -> String {
        let content_type = self.content_type.as_deref();
        content_type.unwrap_or(default).to_owned()
    }
}

/// Reads the environment, and sets the log's form and level. Empty counts as absent.
///
/// # Errors
/// `Runtime.ConfigInvalid` with the variable, its value, and what is allowed.
pub fn from_environment() -> Result<Settings, Failure> {
    let format = choice("AWS_LAMBDA_LOG_FORMAT", Format::Text, &FORMATS)?;
    let threshold = choice("AWS_LAMBDA_LOG_LEVEL", Level::Info, &Level::NAMES)?;
    log::configure(format, threshold);
    let initialization_type = value("AWS_LAMBDA_INITIALIZATION_TYPE");
    Ok(Settings {
        content_type: content_type()?,
        concurrency: concurrency()?,
        graceful_shutdown: choice("BOOTSTRAP_GRACEFUL_SHUTDOWN", false, &SWITCH)?,
        is_snap_start: initialization_type.is_some_and(|kind| kind == "snap-start"),
    })
}

/// `AWS_LAMBDA_RUNTIME_API`, which is read before the others: errors in them are sent there.
pub(crate) fn runtime_api() -> Option<String> {
    value("AWS_LAMBDA_RUNTIME_API")?.into_string().ok()
}

/// Returns a variable that is set and not empty.
pub fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns a variable as text. Bytes that are not UTF-8 are replaced, by a character that no
/// setting may have.
fn text(name: &str) -> Option<String> {
    value(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the failure of a variable whose value is not one of the `expected`.
pub fn invalid(name: &str, value: &str, expected: &str) -> Failure {
    let message = format!(
        "{name} is '{value}'; expected {expected}. Change it in the function's configuration"
    );
    Failure::of(ErrorType::ConfigInvalid, message)
}

/// Returns what the word in a variable stands for, in any case of its letters.
///
/// # Errors
/// `Runtime.ConfigInvalid`: the word is not in the table.
pub fn choice<T: Copy>(name: &str, default: T, table: &[(&str, T)]) -> Result<T, Failure> {
    let Some(value) = text(name) else {
        return Ok(default);
    };
    for (word, meaning) in table {
        if value.eq_ignore_ascii_case(word) {
            return Ok(*meaning);
        }
    }
    let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
    let expected = format!("one of: {}", words.join(", "));
    Err(invalid(name, &value, &expected))
}

/// Returns the number in a variable.
///
/// # Errors
/// `Runtime.ConfigInvalid`: the value is not a number, or out of its bounds.
pub fn number(name: &str, default: u64, least: u64, most: u64) -> Result<u64, Failure> {
    let Some(value) = text(name) else {
        return Ok(default);
    };
    match number::decimal(value.as_bytes()) {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => {
            let expected = format!("a number from {least} to {most}");
            Err(invalid(name, &value, &expected))
        }
    }
}

/// Refuses what [`crate::run`] cannot honour: it answers whole.
///
/// # Errors
/// `Runtime.ConfigInvalid`: a setting asks for that.
pub(crate) fn refuse_streaming() -> Result<(), Failure> {
    choice("BOOTSTRAP_RESPONSE_MODE", (), &[("buffered", ())])
}

/// Lambda sets the variable, so a value that is not a number is ignored, as official clients do
/// (Go, Rust); a number that cannot be honoured is an error.
fn concurrency() -> Result<usize, Failure> {
    let name = "AWS_LAMBDA_MAX_CONCURRENCY";
    let value = text(name).unwrap_or_default();
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(1);
    }
    let slots = number(name, 1, 1, SLOT_LIMIT)?;
    Ok(usize::try_from(slots).unwrap_or(1))
}

/// A media type goes into a header line, so only what a header line may hold is accepted.
fn content_type() -> Result<Option<String>, Failure> {
    let name = "BOOTSTRAP_CONTENT_TYPE";
    let Some(value) = text(name) else {
        return Ok(None);
    };
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let has_both_parts = match value.split_once('/') {
        Some((kind, subtype)) => !kind.is_empty() && !subtype.is_empty(),
        None => false,
    };
    if is_printable && has_both_parts {
        return Ok(Some(value));
    }
    Err(invalid(name, &value, "a media type such as text/html"))
}
