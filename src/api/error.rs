//! Why the Runtime API could not be used.
//!
//! What a handler does wrong is a [`crate::Failure`], which costs one event. An [`ApiError`] on the
//! way to an event costs the process: it is logged, the exit status is 1, and Lambda starts the
//! runtime again.

use std::fmt;
use std::io;

use super::endpoint::Endpoint;
use crate::http;

/// What went wrong, and on whose side.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The connection could not be opened.
    Connect(io::Error),
    /// The operating system refused a read or a write on an open connection.
    Transport(io::Error),
    /// The connection ended before the reply was whole.
    Cut,
    /// The reply breaks a rule of HTTP.
    Http(http::error::Error),
    /// The reply has more than [`http::INTERIM_REPLY_LIMIT`] interim replies before it.
    TooManyInterimReplies,
    /// The reply's body is over this limit, in bytes.
    BodyTooLong(u64),
    /// A header that the reply needs is missing or empty.
    MissingHeader(&'static str),
    /// The reply is whole, but its status says that the request failed.
    Status(Endpoint, u16),
}

impl ApiError {
    /// Returns whether a write took longer than its limit.
    pub(crate) fn is_timeout(&self) -> bool {
        match self {
            ApiError::Transport(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                )
            }
            _ => false,
        }
    }
}

impl From<http::error::Error> for ApiError {
    fn from(error: http::error::Error) -> ApiError {
        ApiError::Http(error)
    }
}

/// For [`std::io::Write`], whose callers look at the kind of an error.
impl From<ApiError> for io::Error {
    fn from(error: ApiError) -> io::Error {
        match error {
            ApiError::Connect(error) | ApiError::Transport(error) => error,
            other => io::Error::other(other.to_string()),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Connect(error) => {
                write!(
                    f,
                    "cannot connect: {error}; is a Runtime API listening there?"
                )
            }
            ApiError::Transport(error) => write!(f, "{error}"),
            ApiError::Cut => f.write_str("the connection ended before the reply was whole"),
            ApiError::Http(error) => write!(f, "{error}"),
            ApiError::TooManyInterimReplies => write!(
                f,
                "the reply has more than {} interim replies before it",
                http::INTERIM_REPLY_LIMIT
            ),
            ApiError::BodyTooLong(limit) => {
                write!(f, "the reply's body is over the limit of {limit} bytes")
            }
            ApiError::MissingHeader(name) => write!(f, "the reply has no usable {name}"),
            ApiError::Status(endpoint, status) => {
                write!(f, "status {status}, {}", endpoint.explain_status(*status))
            }
        }
    }
}
