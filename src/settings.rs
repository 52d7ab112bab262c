//! The environment, read once. The only file that knows a setting's name.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;
use crate::log::{self, Level};

/// Most events at once. Managed Instances allow 64 for each vCPU, on up to 32 vCPUs.
pub const SLOT_LIMIT: usize = 2_048;

/// Longest margin before a deadline, in milliseconds.
pub const DEADLINE_MARGIN_LIMIT_MS: u64 = 60_000;

const DEFAULT_MARGIN_MS: u64 = 200;

/// What the environment asks for.
#[derive(Debug)]
pub struct Settings {
    /// `_HANDLER`, or `HANDLER` where that is absent or empty.
    pub handler: Option<OsString>,
    /// `LAMBDA_TASK_ROOT`; the current folder where absent or empty.
    pub task_root: PathBuf,
    /// `BOOTSTRAP_RESPONSE_MODE` is `streaming`.
    pub streaming: bool,
    /// `BOOTSTRAP_CONTENT_TYPE`, or the response mode's default.
    pub content_type: String,
    /// `BOOTSTRAP_DEADLINE_MARGIN_MS`; `None` when 0: handlers are not stopped.
    pub deadline_margin: Option<Duration>,
    /// `BOOTSTRAP_GRACEFUL_SHUTDOWN` is 1.
    pub graceful_shutdown: bool,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`; 1 where absent or not a number.
    pub concurrency: usize,
    /// `AWS_LAMBDA_INITIALIZATION_TYPE` is `snap-start`.
    pub snap_start: bool,
}

impl Settings {
    /// Reads the environment, and sets the log's form and level. Empty counts as absent.
    ///
    /// # Errors
    /// `Runtime.ConfigInvalid` with the variable, its value, and what is allowed.
    pub fn from_environment() -> Result<Settings, Failure> {
        let format = choice("AWS_LAMBDA_LOG_FORMAT", &["Text", "JSON"])?;
        let level = choice("AWS_LAMBDA_LOG_LEVEL", &Level::ALL.map(Level::name))?;
        let level = level.and_then(|index| Level::ALL.get(index).copied());
        log::configure(format == Some(1), level.unwrap_or(Level::Info));
        let streaming = choice("BOOTSTRAP_RESPONSE_MODE", &["buffered", "streaming"])? == Some(1);
        let margin = numeric("BOOTSTRAP_DEADLINE_MARGIN_MS", 0, DEADLINE_MARGIN_LIMIT_MS)?;
        Ok(Settings {
            handler: value("_HANDLER").or_else(|| value("HANDLER")),
            task_root: value("LAMBDA_TASK_ROOT").map_or_else(|| ".".into(), PathBuf::from),
            streaming,
            content_type: content_type(streaming)?,
            deadline_margin: match margin.unwrap_or(DEFAULT_MARGIN_MS) {
                0 => None,
                margin => Some(Duration::from_millis(margin)),
            },
            graceful_shutdown: choice("BOOTSTRAP_GRACEFUL_SHUTDOWN", &["0", "1"])? == Some(1),
            concurrency: concurrency()?,
            snap_start: value("AWS_LAMBDA_INITIALIZATION_TYPE").is_some_and(|v| v == "snap-start"),
        })
    }
}

/// `AWS_LAMBDA_RUNTIME_API`, which is read before the others: errors in them are sent there.
pub(crate) fn runtime_api() -> Option<String> {
    value("AWS_LAMBDA_RUNTIME_API")?.into_string().ok()
}

fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn invalid(name: &str, value: &OsString, allowed: &str) -> Failure {
    let value = value.to_string_lossy();
    Failure::new(
        "Runtime.ConfigInvalid",
        format!(
            "{name} is '{value}', allowed is {allowed}; mend it in the function's configuration"
        ),
    )
}

/// Which of `allowed` a variable names, in any case; `None` where it is absent.
fn choice(name: &str, allowed: &[&str]) -> Result<Option<usize>, Failure> {
    let Some(value) = value(name) else { return Ok(None) };
    let index = allowed.iter().position(|allowed| value.eq_ignore_ascii_case(allowed));
    index.map(Some).ok_or_else(|| invalid(name, &value, &allowed.join(", ")))
}

fn numeric(name: &str, least: u64, most: u64) -> Result<Option<u64>, Failure> {
    let Some(value) = value(name) else { return Ok(None) };
    let number = crate::http::number(value.as_encoded_bytes(), 10);
    match number.filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(invalid(name, &value, &format!("a number from {least} to {most}"))),
    }
}

/// Lambda sets the variable, so what is no number is ignored as official clients do (Go, Rust);
/// a number that cannot be honoured is an error.
fn concurrency() -> Result<usize, Failure> {
    let name = "AWS_LAMBDA_MAX_CONCURRENCY";
    let is_number =
        value(name).is_some_and(|value| value.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let most = u64::try_from(SLOT_LIMIT).unwrap_or(u64::MAX);
    let slots = if is_number { numeric(name, 1, most)? } else { None };
    Ok(slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(1))
}

/// A media type goes into a header line, so only what a header line may hold is taken.
fn content_type(streaming: bool) -> Result<String, Failure> {
    let name = "BOOTSTRAP_CONTENT_TYPE";
    let default = if streaming { "application/octet-stream" } else { "application/json" };
    let Some(value) = value(name) else { return Ok(default.to_owned()) };
    let plain = value.as_encoded_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'));
    match value.to_str().filter(|text| plain && text.contains('/')) {
        Some(text) => Ok(text.to_owned()),
        None => Err(invalid(name, &value, "a media type such as text/html")),
    }
}
