//! An event's context: from the headers of `/next` to the handler's environment.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::endpoint;
use crate::api::error::ApiError;
use crate::http::head::Head;
use crate::number;

/// Variables that only an event may set. If the runtime finds them in its own environment, it does
/// not pass them on: a handler would take an old value for its event's.
pub const EVENT_VARIABLES: [&str; 9] = [
    "_X_AMZN_TRACE_ID",
    "LAMBDA_RUNTIME_TRACE_ID",
    "LAMBDA_RUNTIME_AWS_REQUEST_ID",
    "LAMBDA_RUNTIME_DEADLINE_MS",
    "LAMBDA_RUNTIME_INVOCATION_ID",
    "LAMBDA_RUNTIME_INVOKED_FUNCTION_ARN",
    "LAMBDA_RUNTIME_AWS_TENANT_ID",
    "LAMBDA_RUNTIME_CLIENT_CONTEXT",
    "LAMBDA_RUNTIME_COGNITO_IDENTITY",
];

/// What Lambda says of one event (AWS, Runtime API, "Next invocation").
///
/// Text that is not UTF-8 has its invalid bytes replaced by U+FFFD. A header that is empty counts
/// as absent.
pub struct Context {
    head: Head,
    deadline: Option<SystemTime>,
}

impl Context {
    /// Reads the headers of a `/next` reply.
    ///
    /// A deadline that is not a number, or already past, counts as absent: cargo lambda sends one
    /// of 1970.
    ///
    /// # Errors
    /// A header that describes the event appears twice, or there is no usable request id.
    pub(crate) fn from_head(head: &Head) -> Result<Context, ApiError> {
        for (name, _) in head.headers().filter(|(name, _)| describes_event(name)) {
            head.get(name)?;
        }
        let id = head.get(endpoint::REQUEST_ID)?.unwrap_or_default();
        // The id becomes a segment of a path, where a dot or two would change the path.
        if matches!(id, b"" | b"." | b"..") {
            return Err(ApiError::MissingHeader(endpoint::REQUEST_ID));
        }
        let mut context = Context {
            head: head.clone(),
            deadline: None,
        };
        context.deadline = context
            .header(endpoint::DEADLINE_MS)
            .and_then(number::decimal)
            .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
            .filter(|deadline| *deadline > SystemTime::now());
        Ok(context)
    }

    /// Returns the id that Lambda gave the event.
    pub fn request_id(&self) -> Cow<'_, str> {
        self.text(endpoint::REQUEST_ID).unwrap_or_default()
    }

    /// Returns when Lambda stops waiting for the answer. `None`: unknown, or past on arrival.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// Returns the time until the deadline, zero once it is past. `None`: the deadline is unknown.
    pub fn remaining_time(&self) -> Option<Duration> {
        let left = self.deadline?.duration_since(SystemTime::now());
        Some(left.unwrap_or_default())
    }

    /// Returns the ARN by which the function was invoked, version or alias included.
    pub fn invoked_function_arn(&self) -> Option<Cow<'_, str>> {
        self.text(endpoint::FUNCTION_ARN)
    }

    /// Returns the X-Ray trace header.
    pub fn trace_id(&self) -> Option<Cow<'_, str>> {
        self.text(endpoint::TRACE_ID)
    }

    /// Returns the caller's client context, JSON text as Lambda passes it.
    pub fn client_context(&self) -> Option<Cow<'_, str>> {
        self.text(endpoint::CLIENT_CONTEXT)
    }

    /// Returns the caller's Cognito identity, JSON text as Lambda passes it.
    pub fn identity(&self) -> Option<Cow<'_, str>> {
        self.text(endpoint::COGNITO_IDENTITY)
    }

    /// Returns the tenant, for functions with tenant isolation.
    pub fn tenant_id(&self) -> Option<Cow<'_, str>> {
        self.text(endpoint::TENANT_ID)
    }

    /// Returns the event's part of a handler's environment: a name and a value for each header, and
    /// for the trace header a second time under X-Ray's name.
    ///
    /// Values may hold any byte but CR and LF. Headers whose names hold anything but letters,
    /// digits and `-` are left out: they would not be valid names of shell variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (Vec<u8>, &[u8])> {
        let trace_id = self
            .header(endpoint::TRACE_ID)
            .map(|id| (b"_X_AMZN_TRACE_ID".to_vec(), id));
        self.head
            .headers()
            .filter(|(name, value)| describes_event(name) && is_plain(name) && !value.is_empty())
            .map(|(name, value)| (variable_name(name), value))
            .chain(trace_id)
    }

    /// Returns the request id as one segment of a path: a byte that RFC 3986 §2.3 does not call
    /// unreserved becomes `%XX`. Lambda's own ids have no such byte.
    pub(crate) fn path_segment(&self) -> Cow<'_, [u8]> {
        let id = self.header(endpoint::REQUEST_ID).unwrap_or_default();
        if id.iter().all(is_unreserved) {
            return Cow::Borrowed(id);
        }
        let mut segment = Vec::new();
        for byte in id {
            match is_unreserved(byte) {
                true => segment.push(*byte),
                false => segment.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
        Cow::Owned(segment)
    }

    /// Returns the value of a header. An empty value counts as absent: Managed Instances sends
    /// empty headers.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let value = self.head.get(name).ok().flatten()?;
        Some(value).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header(name).map(String::from_utf8_lossy)
    }
}

/// Shows the request id alone: the other headers hold what callers sent.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request_id", &self.request_id())
            .finish_non_exhaustive()
    }
}

fn describes_event(name: &[u8]) -> bool {
    let (start, rest) = name
        .split_at_checked(endpoint::EVENT_PREFIX.len())
        .unwrap_or_default();
    start.eq_ignore_ascii_case(endpoint::EVENT_PREFIX) && !rest.is_empty()
}

fn is_plain(name: &[u8]) -> bool {
    name.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// `Lambda-Runtime-Trace-Id` becomes `LAMBDA_RUNTIME_TRACE_ID`.
fn variable_name(header: &[u8]) -> Vec<u8> {
    let mut name = header.to_ascii_uppercase();
    for byte in &mut name {
        if *byte == b'-' {
            *byte = b'_';
        }
    }
    name
}

fn is_unreserved(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(byte)
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Context;
    use crate::api::error::ApiError;
    use crate::http::head::Head;

    fn read(headers: &str) -> Result<Context, ApiError> {
        let mut head = Head::default();
        let block = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        assert_eq!(head.push(block.as_bytes()), Ok(block.len()));
        Context::from_head(&head)
    }

    fn from_id(id: &str) -> Result<Context, ApiError> {
        read(&format!("Lambda-Runtime-Aws-Request-Id: {id}\r\n"))
    }

    fn context(headers: &str) -> Context {
        let headers = format!("Lambda-Runtime-Aws-Request-Id: id\r\n{headers}");
        read(&headers).expect("an event's context")
    }

    #[test]
    fn each_accessor_returns_the_header_of_its_name() {
        let context = context(
            "Lambda-Runtime-Invoked-Function-Arn: arn\r\nLambda-Runtime-Trace-Id: trace\r\n\
             Lambda-Runtime-Client-Context: context\r\nLambda-Runtime-Aws-Tenant-Id: tenant\r\n\
             Lambda-Runtime-Cognito-Identity: identity\r\nLambda-Runtime-Empty:\r\n",
        );
        assert_eq!(context.request_id(), "id");
        assert_eq!(context.invoked_function_arn().as_deref(), Some("arn"));
        assert_eq!(context.trace_id().as_deref(), Some("trace"));
        assert_eq!(context.client_context().as_deref(), Some("context"));
        assert_eq!(context.tenant_id().as_deref(), Some("tenant"));
        assert_eq!(context.identity().as_deref(), Some("identity"));
        assert_eq!(context.header("Lambda-Runtime-Empty"), None);
        assert_eq!(context.deadline(), None);
        assert_eq!(context.remaining_time(), None);
    }

    #[test]
    fn deadline_to_come_is_kept_and_one_in_the_past_is_not() {
        let ms = 4_102_444_800_000; // 2100
        let to_come = context(&format!("Lambda-Runtime-Deadline-Ms: {ms}\r\n"));
        assert_eq!(
            to_come.deadline(),
            Some(UNIX_EPOCH + Duration::from_millis(ms))
        );
        let left = to_come.remaining_time().expect("a deadline");
        assert!(left > Duration::from_secs(1_000_000), "{left:?}");
        for past in ["0", "1000", "x", "-1"] {
            let context = context(&format!("Lambda-Runtime-Deadline-Ms: {past}\r\n"));
            assert_eq!(context.deadline(), None, "{past}");
        }
    }

    #[test]
    fn debug_shows_no_value_but_the_request_id() {
        let context = context("Lambda-Runtime-Client-Context: secret\r\n");
        assert_eq!(format!("{context:?}"), "Context { request_id: \"id\", .. }");
    }

    #[test]
    fn id_that_would_change_the_path_is_refused_or_encoded() {
        for id in ["", ".", ".."] {
            assert!(from_id(id).is_err(), "{id:?}");
        }
        let table: [(&str, &[u8]); 4] = [
            ("...", b"..."),
            ("a-b._~9", b"a-b._~9"),
            ("a/b?c", b"a%2Fb%3Fc"),
            ("\u{e9}%", b"%C3%A9%25"),
        ];
        for (id, segment) in table {
            let context = from_id(id).expect("an event's context");
            assert_eq!(context.path_segment(), segment, "{id}");
        }
    }

    #[test]
    fn header_of_the_event_that_appears_twice_is_refused_and_another_is_not() {
        let id = "Lambda-Runtime-Aws-Request-Id: id\r\n";
        let table = [
            ("Lambda-Runtime-X: 1\r\nlambda-runtime-x: 1\r\n", false),
            ("Lambda-Runtime-: 1\r\nLambda-Runtime-: 1\r\n", true),
            ("Date: 1\r\nDate: 1\r\n", true),
        ];
        for (headers, is_taken) in table {
            let context = read(&format!("{id}{headers}"));
            assert_eq!(context.is_ok(), is_taken, "{headers:?}");
        }
    }

    #[test]
    fn variables_are_the_headers_of_the_event_by_their_plain_names() {
        let context = context(
            "Lambda-Runtime-Trace-Id: trace\r\nLambda-Runtime-Empty:\r\nDate: today\r\n\
             Lambda-Runtime-Odd_Name: x\r\nLambda-Runtime-: y\r\n",
        );
        let variables: Vec<(Vec<u8>, &[u8])> = context.variables().collect();
        let expected: [(Vec<u8>, &[u8]); 3] = [
            (b"LAMBDA_RUNTIME_AWS_REQUEST_ID".to_vec(), b"id"),
            (b"LAMBDA_RUNTIME_TRACE_ID".to_vec(), b"trace"),
            (b"_X_AMZN_TRACE_ID".to_vec(), b"trace"),
        ];
        assert_eq!(variables, expected);
    }
}
