//! What the bootstrap sent, raw and with its time.

use super::http::{self, Headers};
use std::time::Instant;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Next,
    /// With the path segment of the request id, as it was sent.
    Response(String),
    Error(String),
    InitError,
    RestoreNext,
    RestoreError,
    Register,
    ExtensionNext,
    Other,
}

impl Endpoint {
    /// The endpoint of a request; the path is matched exactly, as Lambda's own router does.
    pub(crate) fn of(method: &str, path: &str) -> Endpoint {
        match (method, path) {
            ("GET", "/2018-06-01/runtime/invocation/next") => Endpoint::Next,
            ("POST", "/2018-06-01/runtime/init/error") => Endpoint::InitError,
            ("GET", "/2018-06-01/runtime/restore/next") => Endpoint::RestoreNext,
            ("POST", "/2018-06-01/runtime/restore/error") => Endpoint::RestoreError,
            ("POST", "/2020-01-01/extension/register") => Endpoint::Register,
            ("GET", "/2020-01-01/extension/event/next") => Endpoint::ExtensionNext,
            ("POST", path) => {
                let rest = path.strip_prefix("/2018-06-01/runtime/invocation/");
                match rest.and_then(|rest| rest.split_once('/')) {
                    Some((id, "response")) => Endpoint::Response(id.to_owned()),
                    Some((id, "error")) => Endpoint::Error(id.to_owned()),
                    _ => Endpoint::Other,
                }
            }
            _ => Endpoint::Other,
        }
    }

    /// The request id within the path, if this is an answer to an event.
    pub(crate) fn answered_id(&self) -> Option<&str> {
        match self {
            Endpoint::Response(id) | Endpoint::Error(id) => Some(id),
            _ => None,
        }
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Arriving,
    /// Complete, and the reply to it is decided.
    Taken,
    /// The connection ended, or the framing broke, before the body was there.
    Cut,
}

/// One request. It is in the record from the moment its head is read; its body grows.
#[derive(Clone)]
pub(crate) struct Request {
    /// Number of the connection, from 1.
    pub(crate) connection: usize,
    pub(crate) at: Instant,
    pub(crate) method: String,
    /// As sent, the prefix of the address included.
    pub(crate) target: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: Headers,
    /// The head, byte for byte.
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// When how many bytes of the body arrived: shows what was sent as it was written.
    pub(crate) pieces: Vec<(Instant, usize)>,
    pub(crate) trailers: Headers,
    pub(crate) progress: Progress,
    /// The status it was answered with; 0 before that, and for a reply that a test wrote.
    pub(crate) status: u16,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        http::text(&self.headers, name)
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        http::text(&self.trailers, name)
    }

    /// The body as text, for a comparison that prints well.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self.endpoint, Endpoint::Error(_))
    }

    /// What `Lambda-Runtime-Function-Error-Type` says; empty without it.
    pub(crate) fn error_type(&self) -> &str {
        self.header("Lambda-Runtime-Function-Error-Type")
            .unwrap_or_default()
    }
}

/// What came in since the start; not lessened when the record is emptied.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: usize,
    pub(crate) gets: usize,
    pub(crate) posts: usize,
}
