//! The settings of handlers, which a Rust function has no use for.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use zerostrap::internal::settings::{self, choice, number, value};
use zerostrap::internal::{self, ErrorType};
use zerostrap::{Failure, Settings};

/// Longest margin before a deadline, in milliseconds.
const DEADLINE_MARGIN_LIMIT_MS: u64 = 60_000;

/// The margin where none is set, in milliseconds.
const DEADLINE_MARGIN_MS: u64 = 200;

/// How a response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    /// Whole, once the handler has ended.
    Buffered,
    /// While the handler writes it.
    Streaming,
}

/// How a shell function gets its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventVia {
    /// As its first argument.
    Argument,
    /// On standard input.
    Stdin,
}

const RESPONSE_MODES: [(&str, ResponseMode); 2] = [
    ("buffered", ResponseMode::Buffered),
    ("streaming", ResponseMode::Streaming),
];

const EVENT_VIAS: [(&str, EventVia); 2] =
    [("argument", EventVia::Argument), ("stdin", EventVia::Stdin)];

/// What the environment says of the handler.
#[derive(Debug)]
pub(crate) struct HandlerSettings {
    /// The first that is not blank: `_HANDLER`, the program's argument, `HANDLER`.
    pub(crate) handler: Option<OsString>,
    /// `LAMBDA_TASK_ROOT`; `.` if that is absent, empty or relative. Handlers run there.
    pub(crate) task_root: PathBuf,
    /// `BOOTSTRAP_RESPONSE_MODE`.
    pub(crate) response_mode: ResponseMode,
    /// `BOOTSTRAP_EVENT_VIA`.
    pub(crate) event_via: EventVia,
    /// `BOOTSTRAP_CONTENT_TYPE`, or the response mode's default.
    pub(crate) content_type: String,
    /// `BOOTSTRAP_DEADLINE_MARGIN_MS`; `None` when 0: handlers are not stopped.
    pub(crate) deadline_margin: Option<Duration>,
}

/// Reads all settings, and changes to the folder where handlers run.
///
/// # Errors
/// `Runtime.ConfigInvalid`, or `Runtime.NoSuchHandler` where that folder cannot be entered.
pub(crate) fn from_environment(
    argument: Option<&OsStr>,
) -> Result<(Settings, HandlerSettings), Failure> {
    let settings = settings::from_environment()?;
    let response_mode = choice(
        "BOOTSTRAP_RESPONSE_MODE",
        ResponseMode::Buffered,
        &RESPONSE_MODES,
    )?;
    let default_type = match response_mode {
        ResponseMode::Buffered => "application/json",
        ResponseMode::Streaming => "application/octet-stream",
    };
    let margin = number(
        "BOOTSTRAP_DEADLINE_MARGIN_MS",
        DEADLINE_MARGIN_MS,
        0,
        DEADLINE_MARGIN_LIMIT_MS,
    )?;
    let handler_settings = HandlerSettings {
        handler: handler(argument),
        task_root: enter_task_root()?,
        response_mode,
        event_via: choice("BOOTSTRAP_EVENT_VIA", EventVia::Argument, &EVENT_VIAS)?,
        content_type: settings.content_type_or(default_type),
        deadline_margin: (margin > 0).then(|| Duration::from_millis(margin)),
    };
    Ok((settings, handler_settings))
}

/// Returns the handler's name. An image's configuration may leave each of these blank.
fn handler(argument: Option<&OsStr>) -> Option<OsString> {
    let argument = argument.map(OsStr::to_owned);
    let names = [value("_HANDLER"), argument, value("HANDLER")];
    names
        .into_iter()
        .flatten()
        .find(|name| !name.as_encoded_bytes().trim_ascii().is_empty())
}

fn enter_task_root() -> Result<PathBuf, Failure> {
    let root = PathBuf::from(value("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".into()));
    if let Err(error) = std::env::set_current_dir(&root) {
        let root = root.display();
        let message = format!("LAMBDA_TASK_ROOT {root}: {error}; set it to a folder");
        return Err(internal::failure(ErrorType::NoSuchHandler, message));
    }
    // From this folder a relative path would lead elsewhere.
    match root.is_relative() {
        true => Ok(PathBuf::from(".")),
        false => Ok(root),
    }
}
