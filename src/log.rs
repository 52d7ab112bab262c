//! The log: one line a call, text or JSON, on standard error.
//!
//! In: words of ours, and in JSON form a handler's lines. Out: lines. It must never be handed an event
//! or a response, nor let a control character of an id split a line.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::invocation::Invocation;
use crate::json;

/// How much a line matters. Lambda's names (AWS, log level filtering).
#[derive(Clone, Copy, Debug)]
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
pub(crate) fn configure(json: bool, least: Option<usize>) {
    JSON.store(json, Ordering::Relaxed);
    LEAST.store(least.unwrap_or(Level::Info as usize), Ordering::Relaxed);
}

fn name(level: Level) -> &'static str {
    LEVELS.split(", ").nth(level as usize).unwrap_or_default()
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
        let mut line = Vec::new();
        push_object(&mut line, level, invocation, message.as_bytes());
        pass(&line);
        return;
    }
    let id = invocation.map(|invocation| format!("RequestId: {} ", invocation.request_id()));
    let line = format!("bootstrap: {} {}{message}", name(level), id.unwrap_or_default());
    pass(format!("{}\n", line.replace(char::is_control, " ")).as_bytes());
}

/// Writes a line of a handler's standard error in JSON form: one that is a JSON object already
/// passes as it is, another is wrapped at level INFO.
pub fn wrap(invocation: Option<&Invocation>, line: &[u8]) {
    let mut out = Vec::new();
    if json::object(line).is_some() {
        out.extend_from_slice(line);
        out.push(b'\n');
    } else {
        push_object(&mut out, Level::Info, invocation, line);
    }
    pass(&out);
}

fn push_object(out: &mut Vec<u8>, level: Level, invocation: Option<&Invocation>, message: &[u8]) {
    if (level as usize) < LEAST.load(Ordering::Relaxed) {
        return;
    }
    out.push(b'{');
    json::push_member(out, "timestamp", timestamp(SystemTime::now()).as_bytes());
    json::push_member(out, "level", name(level).as_bytes());
    if let Some(invocation) = invocation {
        json::push_member(out, "requestId", invocation.request_id().as_bytes());
        if let Some(tenant) = invocation.tenant_id() {
            json::push_member(out, "tenantId", tenant);
        }
    }
    json::push_member(out, "message", message);
    out.extend_from_slice(b"}\n");
}

/// Writes bytes as they are, in one piece where the log takes them so.
pub fn pass(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Days from 1970-01-01 to 9999-12-31, the last that the format below can show.
const LAST_DAY: u64 = 2_932_896;

/// RFC 3339 in UTC with milliseconds.
fn timestamp(now: SystemTime) -> String {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let mut day = (seconds / 86_400).min(LAST_DAY);
    let (mut year, mut month) = (1970_u64, 1_u64);
    let february = loop {
        let is_leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
        let Some(rest) = day.checked_sub(if is_leap { 366 } else { 365 }) else {
            break if is_leap { 29 } else { 28 };
        };
        (day, year) = (rest, year.saturating_add(1));
    };
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        let Some(rest) = day.checked_sub(length) else { break };
        (day, month) = (rest, month.saturating_add(1));
    }
    let day = day.saturating_add(1);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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
