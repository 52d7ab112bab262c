//! HTTP/1.1 as a client of one server needs it: bytes in, values out.
//!
//! Nothing in this folder knows a socket, a process, a clock or the environment. What is read here
//! comes from outside and is taken as hostile: a reader answers "complete", "more bytes needed" or
//! an error, never a guess. Supported, and nothing else:
//!
//! - replies of HTTP/1.0 and 1.1, framed by Content-Length or by `Transfer-Encoding: chunked` with
//!   extensions and trailers (both skipped), or without a body;
//! - requests with a Content-Length body, a chunked body with trailers, or none.
//!
//! Not supported: obsolete line folding, bare LF, other transfer codings, `Expect`, upgrades,
//! pipelining, HTTP/0.9.

pub mod body;
pub mod error;
pub mod head;
pub mod request;

/// Most bytes of a status line and its headers.
///
/// Lambda's own limit for an invocation's headers is 1 MB (AWS, Lambda quotas).
pub const HEADER_BLOCK_LIMIT: usize = 1_048_576;

/// Most header lines in a reply, and most trailer lines after a chunked body.
///
/// The Runtime API sends about ten; hyper stops at 100, Apache at 100, nginx has no limit.
pub const HEADER_COUNT_LIMIT: usize = 256;

/// Most bytes in a chunk-size line with its extensions, line end included.
pub const CHUNK_LINE_LIMIT: usize = 256;

/// Most bytes in a trailer line, line end included. Trailers are header lines, so the limit is one
/// that servers have for those: nginx and Apache take 8 KiB.
pub const TRAILER_LINE_LIMIT: usize = 8_192;

/// Most interim (1xx) replies before a final one.
pub const INTERIM_REPLY_LIMIT: usize = 16;
