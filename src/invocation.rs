//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::http::{head::Head, number};

/// What the names of the headers that describe an event begin with (AWS, Runtime API, "Next
/// invocation").
const PREFIX: &[u8] = b"LAMBDA-RUNTIME-";

const REQUEST_ID: &str = "LAMBDA_RUNTIME_AWS_REQUEST_ID";

/// Variables that only an event may set: a runtime that finds them in its own environment must
/// not pass them on, or a handler would take a stale value for its event's. With spaces between.
pub const EVENT_VARIABLES: &str = "_X_AMZN_TRACE_ID LAMBDA_RUNTIME_TRACE_ID \
    LAMBDA_RUNTIME_AWS_REQUEST_ID LAMBDA_RUNTIME_DEADLINE_MS LAMBDA_RUNTIME_INVOCATION_ID \
    LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN LAMBDA_RUNTIME_AWS_TENANT_ID \
    LAMBDA_RUNTIME_CLIENT_CONTEXT LAMBDA_RUNTIME_COGNITO_IDENTITY";

/// The context of one event. Everything but the request id is optional.
pub struct Invocation {
    /// `NAME=value` and a newline for each header, which holds none.
    variables: Vec<u8>,
    deadline: Option<SystemTime>,
}

impl Invocation {
    /// Reads the headers of a `/next` reply that just came.
    ///
    /// A header that is empty counts as absent: Managed Instances sends some so. So does one whose
    /// name has anything that a shell would not take in a variable's, and a deadline that is no
    /// number, or already past: cargo lambda sends one of 1970.
    pub(crate) fn read(head: &Head) -> Result<Invocation, &'static str> {
        let mut event = Invocation { variables: Vec::with_capacity(1_024), deadline: None };
        for (name, value) in head.headers() {
            let upper = name.to_ascii_uppercase();
            let Some([_, ..]) = upper.strip_prefix(PREFIX) else { continue };
            head.get(name).map_err(|_| "a header that describes the event stands twice")?;
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            if !value.is_empty() && name.iter().all(is_word) {
                event.variables.extend(upper.iter().map(|&b| if b == b'-' { b'_' } else { b }));
                event.variables.extend_from_slice(&[b"=", value, b"\n"].concat());
            }
        }
        if matches!(event.get(REQUEST_ID), None | Some(b"." | b"..")) {
            return Err("the event has no usable Lambda-Runtime-Aws-Request-Id");
        }
        let deadline = event.get("LAMBDA_RUNTIME_DEADLINE_MS").and_then(|ms| number(ms, 10));
        let deadline = deadline.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        event.deadline = deadline.filter(|at| *at > SystemTime::now());
        // Where X-Ray's libraries look for it.
        let trace = event.trace_id().map(|id| [b"_X_AMZN_TRACE_ID=", id, b"\n"].concat());
        event.variables.extend(trace.unwrap_or_default());
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
        self.get("LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN")
    }

    /// The X-Ray trace header.
    pub fn trace_id(&self) -> Option<&[u8]> {
        self.get("LAMBDA_RUNTIME_TRACE_ID")
    }

    /// The caller's client context, JSON text as Lambda passes it.
    pub fn client_context(&self) -> Option<&[u8]> {
        self.get("LAMBDA_RUNTIME_CLIENT_CONTEXT")
    }

    /// The caller's Cognito identity, JSON text as Lambda passes it.
    pub fn cognito_identity(&self) -> Option<&[u8]> {
        self.get("LAMBDA_RUNTIME_COGNITO_IDENTITY")
    }

    /// The tenant, for functions with tenant isolation.
    pub fn tenant_id(&self) -> Option<&[u8]> {
        self.get("LAMBDA_RUNTIME_AWS_TENANT_ID")
    }

    /// What a handler's environment says of the event: `NAME=value` for each header, and for the
    /// trace header a second time under X-Ray's name. Values may hold any byte but CR and LF.
    pub fn variables(&self) -> impl Iterator<Item = &[u8]> {
        self.variables.split(|&byte| byte == b'\n').filter(|variable| !variable.is_empty())
    }

    /// The request id as one segment of a path: all but RFC 3986's unreserved is `%XX`.
    pub(crate) fn path_segment(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        for &byte in self.get(REQUEST_ID).unwrap_or_default() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                segment.push(byte);
            } else {
                segment.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
        segment
    }

    /// A variable by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.variables().find_map(|found| found.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}
