//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Kind;
use crate::http::{head::Head, number};

/// Prefix of the headers that describe an event (AWS, Runtime API, "Next invocation").
const PREFIX: &str = "lambda-runtime-";

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
    request_id: Vec<u8>,
    /// `NAME=value` of each header, in the order they came.
    variables: Vec<Vec<u8>>,
    deadline: Option<SystemTime>,
}

impl Invocation {
    /// Reads the headers of a `/next` reply that came at `now`.
    ///
    /// A header that is empty counts as absent: Managed Instances sends some so. A deadline that
    /// is no number, or already past, counts as absent too: cargo lambda sends one of 1970.
    pub(crate) fn read(head: &Head<'_>, now: SystemTime) -> Result<Invocation, Kind> {
        let mut variables: Vec<Vec<u8>> = Vec::with_capacity(10);
        for (header, value) in head.headers() {
            let Some(mut variable) = variable_name(header) else { continue };
            if find(&variables, &variable).is_some() {
                return Err(Kind::Protocol("a header that describes the event stands twice"));
            }
            if !value.is_empty() {
                variable.push(b'=');
                variable.extend_from_slice(value);
                variables.push(variable);
            }
        }
        let request_id = match find(&variables, REQUEST_ID.as_bytes()) {
            None | Some(b"." | b"..") => {
                return Err(Kind::Protocol(
                    "the event has no usable Lambda-Runtime-Aws-Request-Id",
                ));
            }
            Some(id) => id.to_vec(),
        };
        let deadline = find(&variables, DEADLINE.as_bytes()).and_then(|value| number(value, 10));
        let deadline = deadline.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        if let Some(trace_id) = find(&variables, TRACE_ID.as_bytes()) {
            variables.push([XRAY_TRACE_ID.as_bytes(), b"=", trace_id].concat());
        }
        Ok(Invocation { request_id, deadline: deadline.filter(|at| *at > now), variables })
    }

    /// The id that Lambda gave the event. Bytes that are no UTF-8 are replaced.
    pub fn request_id(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.request_id)
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
        self.variables.iter().map(Vec::as_slice)
    }

    /// The nonce of this attempt, to be sent back with its answer.
    pub(crate) fn invocation_id(&self) -> Option<&[u8]> {
        self.get(INVOCATION_ID)
    }

    /// The request id as one segment of a path: all but RFC 3986's unreserved is `%XX`.
    pub(crate) fn path_segment(&self) -> Vec<u8> {
        let mut segment = Vec::with_capacity(self.request_id.len());
        for &byte in &self.request_id {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                segment.push(byte);
            } else {
                let digit = |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied();
                segment.push(b'%');
                segment.extend(digit(byte >> 4).into_iter().chain(digit(byte & 15)));
            }
        }
        segment
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        find(&self.variables, name.as_bytes())
    }
}

/// The value of a variable among several `NAME=value`.
fn find<'a>(variables: &'a [Vec<u8>], name: &[u8]) -> Option<&'a [u8]> {
    variables.iter().find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))
}

/// `Lambda-Runtime-Trace-Id` to `LAMBDA_RUNTIME_TRACE_ID`. `None` for another header, and for a
/// name with anything that a shell would not take in a variable's.
fn variable_name(header: &[u8]) -> Option<Vec<u8>> {
    let prefix = header.get(..PREFIX.len())?;
    let usable = header.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !usable || !prefix.eq_ignore_ascii_case(PREFIX.as_bytes()) || header.len() == PREFIX.len() {
        return None;
    }
    let mut name = header.to_ascii_uppercase();
    name.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'_');
    Some(name)
}
