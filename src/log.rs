//! The log: one line a call, text or JSON, on standard error.
//!
//! In: words of ours, and in JSON form a handler's lines. Out: lines. It must never be handed an event
//! or a response, nor let a control character of an id split a line.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::context::Invocation;
use crate::json;

/// How much a line matters. Lambda's names (AWS, log level filtering).
#[derive(Clone, Copy)]
pub enum Level {
    /// The finest detail.
    Trace,
    /// Detail for finding a fault.
    Debug,
    /// What happens in the normal course.
    Info,
    /// Something was left out or looks wrong, the event goes on.
    Warn,
    /// An event failed.
    Error,
    /// The runtime cannot go on.
    Fatal,
}

/// The levels as they stand in the log and in `AWS_LAMBDA_LOG_LEVEL`, in their order.
pub(crate) const LEVELS: &str = "TRACE, DEBUG, INFO, WARN, ERROR, FATAL";

static JSON: AtomicBool = AtomicBool::new(false);
static LEAST: AtomicUsize = AtomicUsize::new(Level::Info as usize);

/// Sets form and threshold, once, from the settings. The threshold is an index of [`LEVELS`].
pub(crate) fn configure(json: bool, least: usize) {
    JSON.store(json, Ordering::Relaxed);
    LEAST.store(least, Ordering::Relaxed);
}

fn name(level: Level) -> &'static str {
    LEVELS
        .split(',')
        .nth(level as usize)
        .unwrap_or_default()
        .trim_ascii_start()
}

/// Whether lines are JSON objects (`AWS_LAMBDA_LOG_FORMAT=JSON`).
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Writes one line about the runtime itself, or about `invocation`.
///
/// In text: `bootstrap: LEVEL RequestId: ID MESSAGE`, control characters as spaces. In JSON the
/// members are timestamp, level, requestId, tenantId and message, and lines below
/// `AWS_LAMBDA_LOG_LEVEL` are left out. A log that cannot be written is not an error.
pub fn write(level: Level, invocation: Option<&Invocation>, message: &str) {
    if is_json() {
        return pass(&object(level, invocation, message.as_bytes()));
    }
    let id = invocation.map(|invocation| format!("RequestId: {} ", invocation.request_id()));
    let line = format!(
        "bootstrap: {} {}{message}",
        name(level),
        id.unwrap_or_default()
    );
    pass(format!("{}\n", line.replace(char::is_control, " ")).as_bytes());
}

/// Writes a line of a handler's standard error in JSON form: one that is a JSON object already
/// passes as it is, another is wrapped at level INFO.
pub fn wrap(invocation: Option<&Invocation>, line: &[u8]) {
    pass(&match json::object(line) {
        Some(_) => [line, b"\n"].concat(),
        None => object(Level::Info, invocation, line),
    });
}

/// A line in JSON form; empty where its level is below the threshold.
fn object(level: Level, invocation: Option<&Invocation>, message: &[u8]) -> Vec<u8> {
    if (level as usize) < LEAST.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let mut out = b"{".to_vec();
    json::push_member(
        &mut out,
        "timestamp",
        timestamp(SystemTime::now()).as_bytes(),
    );
    json::push_member(&mut out, "level", name(level).as_bytes());
    if let Some(invocation) = invocation {
        json::push_member(&mut out, "requestId", invocation.request_id().as_bytes());
        if let Some(tenant) = invocation.tenant_id() {
            json::push_member(&mut out, "tenantId", tenant);
        }
    }
    json::push_member(&mut out, "message", message);
    out.extend_from_slice(b"}\n");
    out
}

/// Writes bytes as they are, in one piece where the log takes them so.
pub fn pass(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(now: SystemTime) -> String {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let time = format!("{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
    let mut day = (seconds / 86_400).saturating_add(1);
    for (year, month) in (1970..=9999).flat_map(|year| (1..=12).map(move |month| (year, month))) {
        let length = match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day <= length {
            return format!("{year}-{month:02}-{day:02}T{time}");
        }
        day = day.saturating_sub(length);
    }
    // The form has no year after this one.
    "9999-12-31T23:59:59.999Z".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn timestamp_of_known_instants_is_that_of_the_calendar() {
        let at = |ms| super::timestamp(UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(at(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(super::timestamp(UNIX_EPOCH - Duration::from_secs(1)), at(0));
    }
}
