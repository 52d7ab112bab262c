//! Why a slot, or the whole runtime, cannot go on: always the Runtime API or the way to it.
//!
//! What a handler does wrong is a [`crate::Failure`], which costs one event. A [`Kind`] costs the
//! process: it is logged, the exit status is 1, and Lambda starts the runtime again.

use std::fmt;
use std::io;

/// What went wrong, by whose fault it is.
pub(crate) enum Kind {
    /// The operating system refused a connect, a read or a write.
    Io(io::Error),
    /// The reply broke a rule of HTTP or of the Runtime API, or off.
    Protocol(&'static str),
    /// The reply is whole, but its status says that the runtime cannot go on.
    Status(u16),
}

/// What comes of talking to the Runtime API, where that gives no value.
pub(crate) type Outcome = Result<(), Kind>;

/// What the readers of HTTP refuse is against the protocol.
impl From<&'static str> for Kind {
    fn from(why: &'static str) -> Kind {
        Kind::Protocol(why)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Io(error) => write!(f, "{error}; is a Runtime API listening there?"),
            Kind::Protocol(why) => f.write_str(why),
            Kind::Status(status) => write!(f, "status {status}, {}", explain_status(*status)),
        }
    }
}

/// What a status of the Runtime API means (AWS, Runtime API; its emulator's source).
fn explain_status(status: u16) -> &'static str {
    match status {
        400 => "the request id is unknown: answered before, or timed out",
        403 => "not allowed in this state of the Runtime API: answered before, or out of turn",
        404 => "no such endpoint: is this the Runtime API?",
        410 => "the event timed out before its answer came",
        413 => "the answer is over the limit",
        431 => "the request's headers are over the limit",
        500..=599 => "the Runtime API cannot go on",
        _ => "which the Runtime API does not document",
    }
}
