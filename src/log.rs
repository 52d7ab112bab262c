//! The log: one line a call, text or JSON, on standard error.
//!
//! In: words of ours, and in JSON form a handler's lines. Out: lines. It must never be passed an
//! event or a response, nor let a control character of an id split a line.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::context::Context;
use crate::json::{self, Object};

/// How much a line matters. Lambda's names (AWS, log level filtering).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Level {
    /// The levels and their names in the log and in `AWS_LAMBDA_LOG_LEVEL`.
    pub(crate) const NAMES: [(&str, Level); 6] = [
        ("TRACE", Level::Trace),
        ("DEBUG", Level::Debug),
        ("INFO", Level::Info),
        ("WARN", Level::Warn),
        ("ERROR", Level::Error),
        ("FATAL", Level::Fatal),
    ];

    fn name(self) -> &'static str {
        let named = Level::NAMES.iter().find(|(_, level)| *level == self);
        named.map_or("", |(name, _)| name)
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

static IS_JSON: AtomicBool = AtomicBool::new(false);
static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Sets form and threshold, once, from the settings.
pub(crate) fn configure(format: Format, threshold: Level) {
    IS_JSON.store(format == Format::Json, Ordering::Relaxed);
    THRESHOLD.store(threshold as u8, Ordering::Relaxed);
}

/// Returns whether lines are JSON objects (`AWS_LAMBDA_LOG_FORMAT=JSON`).
pub fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Writes one line about the runtime itself, or about an event.
///
/// In text: `bootstrap: LEVEL RequestId: ID MESSAGE`, control characters as spaces. In JSON the
/// members are timestamp, level, requestId, tenantId and message, and lines below
/// `AWS_LAMBDA_LOG_LEVEL` are left out. A log that cannot be written is not an error.
pub fn write(level: Level, context: Option<&Context>, message: &str) {
    if is_json() {
        write_raw(&object(level, context, message.as_bytes()));
        return;
    }
    let id = match context {
        Some(context) => format!("RequestId: {} ", context.request_id()),
        None => String::new(),
    };
    let level = level.name();
    let line = format!("bootstrap: {level} {id}{message}");
    let line = line.replace(char::is_control, " ");
    write_raw(format!("{line}\n").as_bytes());
}

/// Writes a line of a handler's standard error in JSON form: one that is a JSON object already
/// passes as it is, another is wrapped at level INFO.
pub fn wrap(context: Option<&Context>, line: &[u8]) {
    match Object::read(line) {
        Some(_) => write_raw(&[line, b"\n"].concat()),
        None => write_raw(&object(Level::Info, context, line)),
    }
}

/// Returns a line in JSON form; an empty one if its level is below the threshold.
fn object(level: Level, context: Option<&Context>, message: &[u8]) -> Vec<u8> {
    if (level as u8) < THRESHOLD.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let mut out = b"{".to_vec();
    let now = timestamp(SystemTime::now());
    json::push_member(&mut out, "timestamp", now.as_bytes());
    json::push_member(&mut out, "level", level.name().as_bytes());
    if let Some(context) = context {
        json::push_member(&mut out, "requestId", context.request_id().as_bytes());
        if let Some(tenant) = context.tenant_id() {
            json::push_member(&mut out, "tenantId", tenant.as_bytes());
        }
    }
    json::push_member(&mut out, "message", message);
    out.extend_from_slice(b"}\n");
    out
}

/// Writes bytes as they are, in one piece where the log takes them so.
pub fn write_raw(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Returns a time in the form of RFC 3339, in UTC with milliseconds.
fn timestamp(now: SystemTime) -> String {
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    let time = format!("{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
    let mut day = (seconds / 86_400).saturating_add(1);
    for year in 1970..=9999 {
        for month in 1..=12 {
            let length = days_in(month, year);
            if day <= length {
                return format!("{year}-{month:02}-{day:02}T{time}");
            }
            day = day.saturating_sub(length);
        }
    }
    // The form has no year after this one.
    "9999-12-31T23:59:59.999Z".to_owned()
}

fn days_in(month: u64, year: u64) -> u64 {
    let is_century = year.is_multiple_of(100) && !year.is_multiple_of(400);
    let is_leap = year.is_multiple_of(4) && !is_century;
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
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
        assert_eq!(at(1_600_000_000_000), "2020-09-13T12:26:40.000Z");
        assert_eq!(at(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(at(253_402_300_799_998), "9999-12-31T23:59:59.998Z");
        assert_eq!(at(253_402_300_800_000), "9999-12-31T23:59:59.999Z");
        assert_eq!(super::timestamp(UNIX_EPOCH - Duration::from_secs(1)), at(0));
    }
}
