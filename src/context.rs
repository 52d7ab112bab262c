//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::http::{head::Head, number};

const REQUEST_ID: &str = "Lambda-Runtime-Aws-Request-Id";

/// Variables that only an event may set: a runtime that finds them in its own environment must
/// not pass them on, or a handler would take a stale value for its event's. With spaces between.
pub const EVENT_VARIABLES: &str = "_X_AMZN_TRACE_ID LAMBDA_RUNTIME_TRACE_ID \
    LAMBDA_RUNTIME_AWS_REQUEST_ID LAMBDA_RUNTIME_DEADLINE_MS LAMBDA_RUNTIME_INVOCATION_ID \
    LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN LAMBDA_RUNTIME_AWS_TENANT_ID \
    LAMBDA_RUNTIME_CLIENT_CONTEXT LAMBDA_RUNTIME_COGNITO_IDENTITY";

/// The context of one event. Everything but the request id is optional.
pub struct Invocation {
    head: Head,
    deadline: Option<SystemTime>,
}

impl Invocation {
    /// Whether a `/next` reply has the headers of an event: each once, and a usable request id.
    pub(crate) fn check(head: &Head) -> Result<(), &'static str> {
        for (name, _) in head.headers().filter(|(name, _)| describes_event(name)) {
            head.get(name)
                .map_err(|_| "a header that describes the event stands twice")?;
        }
        match head.get(REQUEST_ID)?.unwrap_or_default() {
            b"" | b"." | b".." => Err("the event has no usable Lambda-Runtime-Aws-Request-Id"),
            _ => Ok(()),
        }
    }

    /// Keeps such headers. A deadline that is no number, or already past, counts as absent: cargo
    /// lambda sends one of 1970.
    pub(crate) fn new(head: Head) -> Invocation {
        let mut event = Invocation {
            head,
            deadline: None,
        };
        let deadline = event
            .get("Lambda-Runtime-Deadline-Ms")
            .and_then(|ms| number(ms, 10));
        let deadline = deadline.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        event.deadline = deadline.filter(|at| *at > SystemTime::now());
        event
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
        Some(
            self.deadline?
                .duration_since(SystemTime::now())
                .unwrap_or_default(),
        )
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
    /// trace header a second time under X-Ray's name. Values may hold any byte but CR and LF. A
    /// header is left out whose name has anything that a shell would not take in a variable's.
    pub fn variables(&self) -> impl Iterator<Item = Vec<u8>> {
        let trace = self
            .trace_id()
            .map(|id| [b"_X_AMZN_TRACE_ID=", id].concat());
        let described = self.head.headers().filter(|(name, value)| {
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            describes_event(name) && name.iter().all(is_word) && !value.is_empty()
        });
        let upper = |byte: &u8| {
            if *byte == b'-' {
                b'_'
            } else {
                byte.to_ascii_uppercase()
            }
        };
        let variables = described.map(move |(name, value)| {
            let name: Vec<u8> = name.iter().map(upper).collect();
            [&name, b"=".as_slice(), value].concat()
        });
        variables.chain(trace)
    }

    /// The request id as one segment of a path: all but RFC 3986's unreserved is `%XX`. Lambda's ids
    /// have nothing else.
    pub(crate) fn path_segment(&self) -> Cow<'_, [u8]> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let escape = |it: &u8| {
            if is_plain(it) {
                vec![*it]
            } else {
                format!("%{it:02X}").into()
            }
        };
        let id = self.get(REQUEST_ID).unwrap_or_default();
        if id.iter().all(is_plain) {
            id.into()
        } else {
            id.iter().flat_map(escape).collect()
        }
    }

    /// The value of a header. One that is empty counts as absent: Managed Instances sends some so.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.head
            .get(name)
            .ok()
            .flatten()
            .filter(|value| !value.is_empty())
    }
}

/// By its name (AWS, Runtime API, "Next invocation").
fn describes_event(name: &[u8]) -> bool {
    let (prefix, rest) = name.split_at_checked(15).unwrap_or_default();
    prefix.eq_ignore_ascii_case(b"lambda-runtime-") && !rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::Invocation;
    use crate::http::head::Head;

    #[test]
    fn each_accessor_gives_the_header_of_its_name() {
        let mut head = Head::default();
        let block = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\n\
            Lambda-Runtime-Invoked-Function-Arn: arn\r\nLambda-Runtime-Trace-Id: trace\r\n\
            Lambda-Runtime-Client-Context: context\r\nLambda-Runtime-Aws-Tenant-Id: tenant\r\n\
            Lambda-Runtime-Cognito-Identity: identity\r\nLambda-Runtime-Empty:\r\n\r\n";
        assert_eq!(head.take(block.as_bytes()), Ok(block.len()));
        assert_eq!(Invocation::check(&head), Ok(()));
        let event = Invocation::new(head);
        assert_eq!(event.request_id(), "id");
        assert_eq!(event.function_arn(), Some(&b"arn"[..]));
        assert_eq!(event.trace_id(), Some(&b"trace"[..]));
        assert_eq!(event.client_context(), Some(&b"context"[..]));
        assert_eq!(event.tenant_id(), Some(&b"tenant"[..]));
        assert_eq!(event.cognito_identity(), Some(&b"identity"[..]));
        // Empty counts as absent.
        assert_eq!(event.get("Lambda-Runtime-Empty"), None);
        assert_eq!((event.deadline(), event.time_left()), (None, None));
    }
}
