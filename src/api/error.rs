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

#[cfg(test)]
mod tests {
    use std::io;

    use super::ApiError;
    use crate::api::endpoint::Endpoint;

    /// An error, whether it is a time-out, its kind as one of std, and its words.
    #[test]
    fn error_keeps_its_kind_and_its_words() {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, Other, TimedOut, WouldBlock};
        let transport = |kind: io::ErrorKind| ApiError::Transport(kind.into());
        let status = ApiError::Status(Endpoint::Next, 410);
        let table = [
            (
                transport(WouldBlock),
                true,
                WouldBlock,
                "operation would block",
            ),
            (transport(TimedOut), true, TimedOut, "timed out"),
            (transport(BrokenPipe), false, BrokenPipe, "broken pipe"),
            (
                ApiError::Connect(ConnectionRefused.into()),
                false,
                ConnectionRefused,
                "is a Runtime API listening there?",
            ),
            (
                ApiError::Cut,
                false,
                Other,
                "ended before the reply was whole",
            ),
            (
                ApiError::TooManyInterimReplies,
                false,
                Other,
                "more than 16 interim replies",
            ),
            (
                ApiError::BodyTooLong(9),
                false,
                Other,
                "over the limit of 9 bytes",
            ),
            (ApiError::MissingHeader("X"), false, Other, "no usable X"),
            (
                status,
                false,
                Other,
                "status 410, the sandbox is no longer used",
            ),
        ];
        for (error, is_timeout, kind, words) in table {
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.is_timeout(), is_timeout, "{error}");
            assert_eq!(io::Error::from(error).kind(), kind, "{words}");
        }
    }
}
