//! The environment, read once. The only file that reads a setting.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;
use crate::http;
use crate::log;

/// Most events at once. Managed Instances allow 64 for each vCPU, on up to 32 vCPUs.
pub const SLOT_LIMIT: usize = 2_048;

/// Longest margin before a deadline, in milliseconds.
pub const DEADLINE_MARGIN_LIMIT_MS: u64 = 60_000;

/// What the environment asks for.
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
        let is_json = choice("AWS_LAMBDA_LOG_FORMAT", "Text", "Text, JSON")? == 1;
        log::configure(
            is_json,
            choice("AWS_LAMBDA_LOG_LEVEL", "INFO", log::LEVELS)?,
        );
        let streaming = choice("BOOTSTRAP_RESPONSE_MODE", "buffered", "buffered, streaming")? == 1;
        let margin = numeric(
            "BOOTSTRAP_DEADLINE_MARGIN_MS",
            "200",
            0,
            DEADLINE_MARGIN_LIMIT_MS,
        )?;
        Ok(Settings {
            handler: value("_HANDLER").or_else(|| value("HANDLER")),
            task_root: value("LAMBDA_TASK_ROOT")
                .unwrap_or_else(|| ".".into())
                .into(),
            streaming,
            content_type: content_type(streaming)?,
            deadline_margin: (margin > 0).then(|| Duration::from_millis(margin)),
            graceful_shutdown: choice("BOOTSTRAP_GRACEFUL_SHUTDOWN", "0", "0, 1")? == 1,
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

/// A variable, or `default` where it is absent. Bytes that are no UTF-8 are replaced, by a character
/// that no setting may have.
fn text(name: &str, default: &'static str) -> std::borrow::Cow<'static, str> {
    value(name).map_or(default.into(), |value| {
        value.to_string_lossy().into_owned().into()
    })
}

fn invalid(name: &str, value: &str, allowed: &str) -> Failure {
    let mend = "mend it in the function's configuration";
    let message = format!("{name} is '{value}', allowed is {allowed}; {mend}");
    Failure::new("Runtime.ConfigInvalid", message)
}

/// Which word of the list `allowed` a variable is, in any case.
fn choice(name: &str, default: &'static str, allowed: &str) -> Result<usize, Failure> {
    let value = text(name, default);
    let found = allowed
        .split(',')
        .position(|it| it.trim_ascii().eq_ignore_ascii_case(&value));
    found.ok_or_else(|| invalid(name, &value, allowed))
}

fn numeric(name: &str, default: &'static str, least: u64, most: u64) -> Result<u64, Failure> {
    let value = text(name, default);
    let number = http::number(value.as_bytes(), 10).filter(|it| (least..=most).contains(it));
    number.ok_or_else(|| invalid(name, &value, &format!("a number from {least} to {most}")))
}

/// Lambda sets the variable, so what is no number is ignored as official clients do (Go, Rust);
/// a number that cannot be honoured is an error.
fn concurrency() -> Result<usize, Failure> {
    let name = "AWS_LAMBDA_MAX_CONCURRENCY";
    let has_digits_only = |it: OsString| it.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let is_number = value(name).is_some_and(has_digits_only);
    Ok(if is_number {
        numeric(name, "1", 1, SLOT_LIMIT as u64)? as usize
    } else {
        1
    })
}

/// A media type goes into a header line, so only what a header line may hold is taken.
fn content_type(streaming: bool) -> Result<String, Failure> {
    let name = "BOOTSTRAP_CONTENT_TYPE";
    let default = if streaming {
        "application/octet-stream"
    } else {
        "application/json"
    };
    let value = text(name, default);
    if value.contains('/') && value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(value.into_owned());
    }
    Err(invalid(name, &value, "a media type such as text/html"))
}
