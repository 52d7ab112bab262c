//! What can be wrong with a reply: one variant for each rule of HTTP that a peer may break.

use std::fmt;

use super::{CHUNK_LINE_LIMIT, HEADER_BLOCK_LIMIT, HEADER_COUNT_LIMIT, TRAILER_LINE_LIMIT};

/// Most bytes of a peer's value that a message repeats.
const SHOWN_LIMIT: usize = 64;

/// The rule that a reply broke. Its text is a phrase for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first line is not a status line of HTTP/1.0 or 1.1.
    NotHttp,
    /// A line ends in something else than CR LF, or holds a bare CR.
    LineEnd,
    /// A header continues on a second line (RFC 9112 §5.2).
    FoldedHeader,
    /// A header line is not `name: value` (RFC 9112 §5).
    MalformedHeader,
    /// The header block is over [`HEADER_BLOCK_LIMIT`].
    HeaderBlockTooLong,
    /// The reply has more than [`HEADER_COUNT_LIMIT`] headers.
    TooManyHeaders,
    /// A header that may appear once appears twice. Its values may be a caller's, and are not
    /// shown.
    RepeatedHeader {
        /// The header's name.
        name: String,
    },
    /// A framing header appears twice.
    DuplicateFraming {
        /// The header's name.
        name: String,
        /// Its first two values.
        values: [String; 2],
    },
    /// The reply has both framings, of which request smuggling is made (RFC 9112 §6.1).
    TwoFramings {
        /// The value of Content-Length.
        length: String,
        /// The value of Transfer-Encoding.
        coding: String,
    },
    /// A transfer coding other than `chunked`, or chunked in HTTP/1.0.
    UnsupportedCoding {
        /// The value of Transfer-Encoding.
        coding: String,
    },
    /// Content-Length is not a number.
    MalformedLength {
        /// The value of Content-Length.
        length: String,
    },
    /// Only the end of the connection marks the end of the body.
    NoLength,
    /// A chunk-size line is malformed (RFC 9112 §7.1).
    MalformedChunkSize,
    /// A chunk-size line is over [`CHUNK_LINE_LIMIT`].
    ChunkSizeTooLong,
    /// A chunk's data is not followed by CR LF.
    UnclosedChunk,
    /// A trailer line is over [`TRAILER_LINE_LIMIT`].
    TrailerTooLong,
    /// There are more than [`HEADER_COUNT_LIMIT`] trailer lines.
    TooManyTrailers,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotHttp => f.write_str("the reply does not start with an HTTP/1 status line"),
            Error::LineEnd => f.write_str("a line of the reply does not end in CR LF"),
            Error::FoldedHeader => f.write_str("a header is folded over two lines"),
            Error::MalformedHeader => f.write_str("a header line is malformed"),
            Error::HeaderBlockTooLong => {
                write!(f, "the header block is over {HEADER_BLOCK_LIMIT} bytes")
            }
            Error::TooManyHeaders => {
                write!(f, "the reply has more than {HEADER_COUNT_LIMIT} headers")
            }
            Error::RepeatedHeader { name } => write!(f, "the header {name} appears twice"),
            Error::DuplicateFraming { name, values } => {
                let [first, second] = values;
                write!(
                    f,
                    "the header {name} appears twice: '{first}' and '{second}'"
                )
            }
            Error::TwoFramings { length, coding } => write!(
                f,
                "the reply has Content-Length: {length} and Transfer-Encoding: {coding}; \
                 have the server send one of them"
            ),
            Error::UnsupportedCoding { coding } => write!(
                f,
                "the reply has Transfer-Encoding: {coding}, and only chunked in HTTP/1.1 is supported"
            ),
            Error::MalformedLength { length } => {
                write!(f, "Content-Length is '{length}', which is not a number")
            }
            Error::NoLength => f.write_str(
                "the reply has no Content-Length, so a cut would look like its end; have the server \
                 send one",
            ),
            Error::MalformedChunkSize => f.write_str("a chunk-size line is malformed"),
            Error::ChunkSizeTooLong => {
                write!(f, "a chunk-size line is over {CHUNK_LINE_LIMIT} bytes")
            }
            Error::UnclosedChunk => f.write_str("a chunk does not end in CR LF"),
            Error::TrailerTooLong => {
                write!(f, "a trailer line is over {TRAILER_LINE_LIMIT} bytes")
            }
            Error::TooManyTrailers => {
                write!(f, "the reply has more than {HEADER_COUNT_LIMIT} trailers")
            }
        }
    }
}

/// A peer's value as a message repeats it: bounded, and invalid UTF-8 replaced.
pub(super) fn shown(value: &[u8]) -> String {
    let start = value.get(..SHOWN_LIMIT).unwrap_or(value);
    String::from_utf8_lossy(start).into_owned()
}
