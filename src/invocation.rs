//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Kind;
use crate::http::{head::Head, number, same};

/// What the names of the headers that describe an event begin with (AWS, Runtime API, "Next
/// invocation").
const PREFIX: &[u8] = b"Lambda-Runtime-";

const REQUEST_ID: &str = "Lambda-Runtime-Aws-Request-Id";

/// Variables that only an event may set: a runtime that finds them in its own environment must
/// not pass them on, or a handler would take a stale value for its event's.
pub const EVENT_VARIABLES: [&str; 9] = [
    "LAMBDA_RUNTIME_AWS_REQUEST_ID",
    "LAMBDA_RUNTIME_DEADLINE_MS",
    "LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN",
    "LAMBDA_RUNTIME_TRACE_ID",
    "LAMBDA_RUNTIME_CLIENT_CONTEXT",
    "LAMBDA_RUNTIME_COGNITO_IDENTITY",
    "LAMBDA_RUNTIME_AWS_TENANT_ID",
    "LAMBDA_RUNTIME_INVOCATION_ID",
    "_X_AMZN_TRACE_ID",
];

/// The context of one event. Everything but the request id is optional.
#[derive(Debug)]
pub struct Invocation {
    head: Head<'static>,
    deadline: Option<SystemTime>,
}

impl Invocation {
    /// Keeps the headers of a `/next` reply that came at `now`.
    ///
    /// A header that is empty counts as absent: Managed Instances sends some so. A deadline that
    /// is no number, or already past, counts as absent too: cargo lambda sends one of 1970.
    pub(crate) fn read(head: Head<'_>, now: SystemTime) -> Result<Invocation, Kind> {
        let is_twice = |(name, _): (&[u8], &[u8])| describes_event(name) && head.get(name).is_err();
        if head.headers().any(is_twice) {
            return Err(Kind::Protocol("a header that describes the event stands twice"));
        }
        let mut event = Invocation { head: head.into_owned(), deadline: None };
        if matches!(event.get(REQUEST_ID), None | Some(b"." | b"..")) {
            return Err(Kind::Protocol("the event has no usable Lambda-Runtime-Aws-Request-Id"));
        }
        let deadline = event.get("Lambda-Runtime-Deadline-Ms").and_then(|ms| number(ms, 10));
        let deadline = deadline.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        event.deadline = deadline.filter(|at| *at > now);
        Ok(event)
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
        self.get("Lambda-Runtime-Invoked-Function-Arn")
    }

    /// The X-Ray trace header.
    pub fn trace_id(&self) -> Option<&[u8]> {
        self.get("Lambda-Runtime-Trace-Id")
    }

    /// The caller's client context, JSON text as Lambda passes it.
    pub fn client_context(&self) -> Option<&[u8]> {
        self.get("Lambda-Runtime-Client-Context")
    }

    /// The caller's Cognito identity, JSON text as Lambda passes it.
    pub fn cognito_identity(&self) -> Option<&[u8]> {
        self.get("Lambda-Runtime-Cognito-Identity")
    }

    /// The tenant, for functions with tenant isolation.
    pub fn tenant_id(&self) -> Option<&[u8]> {
        self.get("Lambda-Runtime-Aws-Tenant-Id")
    }

    /// What a handler's environment says of the event: `NAME=value` for each header, and for the
    /// trace header a second time where X-Ray's libraries look for it. Values may hold any byte but
    /// CR and LF. A header is left out whose name has anything that a shell would not take in a
    /// variable's.
    pub fn variables(&self) -> impl Iterator<Item = Vec<u8>> {
        let trace_id = self.trace_id().map(|id| [b"_X_AMZN_TRACE_ID=", id].concat());
        let described = self.head.headers().filter(|(name, value)| {
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            describes_event(name) && name.iter().all(is_word) && !value.is_empty()
        });
        let upper = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
        let pair = move |(name, value): (&[u8], &[u8])| {
            [&name.iter().map(upper).collect::<Vec<u8>>(), &b"="[..], value].concat()
        };
        described.map(pair).chain(trace_id)
    }

    /// The nonce of this attempt, to be sent back with its answer.
    pub(crate) fn invocation_id(&self) -> Option<&[u8]> {
        self.get("Lambda-Runtime-Invocation-Id")
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

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.head.get(name).ok().flatten().filter(|value| !value.is_empty())
    }
}

fn describes_event(name: &[u8]) -> bool {
    let (prefix, rest) = name.split_at_checked(PREFIX.len()).unwrap_or_default();
    same(prefix, PREFIX) && !rest.is_empty()
}
