//! A handler's environment.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use zerostrap::Context;
use zerostrap::internal::log::{self, Level};
use zerostrap::internal::{self, EVENT_VARIABLES};

/// Longest string that an environment can hold, name, `=` and the final NUL included
/// (`MAX_ARG_STRLEN` of execve(2)).
const VARIABLE_LIMIT: usize = 131_072;

/// Names a descriptor that only AWS's own runtime clients can use.
const TELEMETRY_DESCRIPTOR: &str = "_LAMBDA_TELEMETRY_LOG_FD";

/// Returns the environment that every event's handler has: this process's own, without what only an
/// event may set and what no handler can use.
pub(crate) fn base() -> Vec<CString> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        if is_of_handlers(&name) {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            variables.extend(CString::new(pair).ok());
        }
    }
    variables
}

fn is_of_handlers(name: &OsStr) -> bool {
    name != TELEMETRY_DESCRIPTOR && EVENT_VARIABLES.iter().all(|known| name != *known)
}

/// Returns what an event adds to that, as `NAME=value`. A value that no environment can hold is
/// left out, with a log line.
pub(crate) fn of_event(context: &Context) -> impl Iterator<Item = CString> {
    internal::variables(context).filter_map(move |(name, value)| {
        let pair = [&name, b"=".as_slice(), value].concat();
        let reason = match CString::new(pair) {
            Ok(pair) if pair.count_bytes() < VARIABLE_LIMIT => return Some(pair),
            Ok(_) => "is over 128 KiB",
            Err(_) => "holds a NUL",
        };
        let name = String::from_utf8_lossy(&name);
        let message = format!("{name} is not in the handler's environment: its value {reason}");
        log::write(Level::Warn, Some(context), &message);
        None
    })
}
