//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Kind;
use crate::http::{head::Head, number};

/// What the headers that describe an event begin with, as variables (AWS, Runtime API, "Next
/// invocation").
const PREFIX: &[u8] = b"LAMBDA_RUNTIME_";

const REQUEST_ID: &str = "LAMBDA_RUNTIME_AWS_REQUEST_ID";
const DEADLINE: &str = "LAMBDA_RUNTIME_DEADLINE_MS";
const FUNCTION_ARN: &str = "LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN";
const TRACE_ID: &str = "LAMBDA_RUNTIME_TRACE_ID";
const CLIENT_CONTEXT: &str = "LAMBDA_RUNTIME_CLIENT_CONTEXT";
const IDENTITY: &str = "LAMBDA_RUNTIME_COGNITO_IDENTITY";
const TENANT_ID: &str = "LAMBDA_RUNTIME_AWS_TENANT_ID";
const INVOCATION_ID: &str = "LAMBDA_RUNTIME_INVOCATION_ID";

/// Where X-Ray's libraries look for the trace header.
const XRAY_TRACE_ID: &str = "_X_AMZN_TRACE_ID";

/// Variables that only an event may set: a runtime that finds them in its own environment must
/// not pass them on, or a handler would take a stale value for its event's.
pub const EVENT_VARIABLES: [&str; 9] = [
    REQUEST_ID,
    DEADLINE,
    FUNCTION_ARN,
    TRACE_ID,
    CLIENT_CONTEXT,
    IDENTITY,
    TENANT_ID,
    INVOCATION_ID,
    XRAY_TRACE_ID,
];

/// The context of one event. Everything but the request id is optional.
#[derive(Debug)]
pub struct Invocation {
    /// `NAME=value` of each header, in the order they came, one after the other.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    deadline: Option<SystemTime>,
}

impl Invocation {
    /// Reads the headers of a `/next` reply that came at `now`.
    ///
    /// A header that is empty counts as absent: Managed Instances sends some so. A deadline that
    /// is no number, or already past, counts as absent too: cargo lambda sends one of 1970.
    pub(crate) fn read(head: &Head<'_>, now: SystemTime) -> Result<Invocation, Kind> {
        let (text, ends) = (Vec::with_capacity(1_024), Vec::with_capacity(16));
        let mut event = Invocation { text, ends, deadline: None };
        for (header, value) in head.headers() {
            let start = event.text.len();
            if push_name(&mut event.text, header) {
                let name = event.text.get(start..).unwrap_or_default();
                if event.get(name).is_some() {
                    return Err(Kind::Protocol("a header that describes the event stands twice"));
                }
                let is_trace_id = name == TRACE_ID.as_bytes();
                if !value.is_empty() {
                    event.push_value(value);
                    if is_trace_id {
                        event.text.extend_from_slice(XRAY_TRACE_ID.as_bytes());
                        event.push_value(value);
                    }
                    continue;
                }
            }
            event.text.truncate(start);
        }
        if matches!(event.get(REQUEST_ID), None | Some(b"." | b"..")) {
            return Err(Kind::Protocol("the event has no usable Lambda-Runtime-Aws-Request-Id"));
        }
        let deadline = event.get(DEADLINE).and_then(|value| number(value, 10));
        let deadline = deadline.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        event.deadline = deadline.filter(|at| *at > now);
        Ok(event)
    }

    /// Ends a variable that was begun with its name.
    fn push_value(&mut self, value: &[u8]) {
        self.text.push(b'=');
        self.text.extend_from_slice(value);
        self.ends.push(self.text.len());
    }

    /// The id that Lambda gave the event. Bytes that are no UTF-8 are replaced.
    pub fn request_id(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.get(REQUEST_ID).unwrap_or_default())
    }

    /// When Lambda stops waiting for the answer; `None` when unknown or past on arrival.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// Time left until the deadline, zero once it is past; `None` when it is unknown.
    pub fn time_left(&self) -> Option<Duration> {
        Some(self.deadline?.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The ARN by which the function was invoked, version or alias included.
    pub fn function_arn(&self) -> Option<&[u8]> {
        self.get(FUNCTION_ARN)
    }

    /// The X-Ray trace header.
    pub fn trace_id(&self) -> Option<&[u8]> {
        self.get(TRACE_ID)
    }

    /// The caller's client context, JSON text as Lambda passes it.
    pub fn client_context(&self) -> Option<&[u8]> {
        self.get(CLIENT_CONTEXT)
    }

    /// The caller's Cognito identity, JSON text as Lambda passes it.
    pub fn cognito_identity(&self) -> Option<&[u8]> {
        self.get(IDENTITY)
    }

    /// The tenant, for functions with tenant isolation.
    pub fn tenant_id(&self) -> Option<&[u8]> {
        self.get(TENANT_ID)
    }

    /// What a handler's environment says of the event: `NAME=value` for each header, and for the
    /// trace header a second time under X-Ray's name. Values may hold any byte but CR and LF.
    pub fn variables(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let from = std::mem::replace(&mut start, end);
            self.text.get(from..end)
        })
    }

    /// The nonce of this attempt, to be sent back with its answer.
    pub(crate) fn invocation_id(&self) -> Option<&[u8]> {
        self.get(INVOCATION_ID)
    }

    /// The request id as one segment of a path: all but RFC 3986's unreserved is `%XX`.
    pub(crate) fn path_segment(&self) -> Cow<'_, [u8]> {
        let id = self.get(REQUEST_ID).unwrap_or_default();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if id.iter().all(is_plain) {
            return Cow::Borrowed(id);
        }
        let escaped = id.iter().flat_map(|byte| match is_plain(byte) {
            true => vec![*byte],
            false => format!("%{byte:02X}").into_bytes(),
        });
        Cow::Owned(escaped.collect())
    }

    /// The value of a variable. Most names differ in length, which is looked at first.
    fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        let mut same = self.variables().filter(|text| text.get(name.len()) == Some(&b'='));
        same.find_map(|text| text.strip_prefix(name)?.strip_prefix(b"="))
    }
}

/// Appends `LAMBDA_RUNTIME_TRACE_ID` for `Lambda-Runtime-Trace-Id`. Tells whether it is such a
/// header, and has nothing in its name that a shell would not take in a variable's.
fn push_name(text: &mut Vec<u8>, header: &[u8]) -> bool {
    let start = text.len();
    text.extend_from_slice(header);
    let name = text.get_mut(start..).unwrap_or_default();
    for byte in name.iter_mut() {
        match byte {
            b'-' => *byte = b'_',
            byte if byte.is_ascii_alphanumeric() => byte.make_ascii_uppercase(),
            _ => return false,
        }
    }
    name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty())
}
